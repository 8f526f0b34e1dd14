// Options whose values are words and that belong to no other part of the program: each is one list
// of values and names, from which the help, the parser and the checkpoint's record follow.
#pragma once

#include "runtime/enum_names.h"

namespace masformer {

// What multiplies q.k; d is the width of a head.
#define MASFORMER_ATTENTION_SCALES(SCALE) SCALE(one, "1") SCALE(inverse_root, "1/sqrt(d)")
MASFORMER_NAMED_ENUM(AttentionScale, MASFORMER_ATTENTION_SCALES);
#undef MASFORMER_ATTENTION_SCALES

// Whether steps are printed as one line that changes in place; `automatic`: where output is a
// terminal.
#define MASFORMER_LIVE_LINES(LIVE) LIVE(automatic, "auto") LIVE(on, "on") LIVE(off, "off")
MASFORMER_NAMED_ENUM(LiveLine, MASFORMER_LIVE_LINES);
#undef MASFORMER_LIVE_LINES

// The values of checkpoint.resume that are not paths.
#define MASFORMER_RESUME_WORDS(WORD) WORD(newest, "auto") WORD(never, "none")
MASFORMER_NAMED_ENUM(ResumeWord, MASFORMER_RESUME_WORDS);
#undef MASFORMER_RESUME_WORDS

}  // namespace masformer
