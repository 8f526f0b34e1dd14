// Enums of options that no other part of the program uses. Each is one list of values and names,
// from which the help, the parser and the checkpoint's record follow.
#pragma once

#include "runtime/enum_names.h"

namespace masformer {

// The factor of q.k; d is the width of a head.
#define MASFORMER_ATTENTION_SCALES(SCALE) SCALE(one, "1") SCALE(inverse_root, "1/sqrt(d)")
MASFORMER_NAMED_ENUM(AttentionScale, MASFORMER_ATTENTION_SCALES);
#undef MASFORMER_ATTENTION_SCALES

// Whether steps are printed as one line updated in place; `automatic`: if output is a terminal.
#define MASFORMER_LIVE_LINES(LIVE) LIVE(automatic, "auto") LIVE(on, "on") LIVE(off, "off")
MASFORMER_NAMED_ENUM(LiveLine, MASFORMER_LIVE_LINES);
#undef MASFORMER_LIVE_LINES

// The values of checkpoint.resume other than a path.
#define MASFORMER_RESUME_WORDS(WORD) WORD(newest, "auto") WORD(never, "none")
MASFORMER_NAMED_ENUM(ResumeWord, MASFORMER_RESUME_WORDS);
#undef MASFORMER_RESUME_WORDS

}  // namespace masformer
