// The manifest as the text of its file.
//
// The first line is {"digest": "<32 digits>", and covers every byte after it, so that a reader can
// verify the manifest before it parses it.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "parallel/checkpoint/manifest.h"

namespace masformer::checkpoint {

// Verified against its digest and against itself. Throws Error that says what is wrong and where,
// without a file name.
Manifest parse_manifest(std::string_view text);
std::string to_text(const Manifest& manifest);

// The whole text, from what follows the first line.
std::string signed_text(std::string_view rest);

// The "tensors" member alone, for ranks that tell each other what they write. Checked as to types
// and ranges, not as to whether the pieces fill the tensors.
std::map<std::string, StoredTensor> parse_tensors(std::string_view text);
std::string to_text(const std::map<std::string, StoredTensor>& tensors);

// Throws Error naming the first tensor whose elements are not all stored exactly once.
void check_cover(const std::map<std::string, StoredTensor>& tensors);

}  // namespace masformer::checkpoint
