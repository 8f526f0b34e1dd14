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

// Verifies the digest and everything that manifest.h promises; time is near linear in the text.
// Throws Error that says what is wrong and where, without a file name.
Manifest parse_manifest(std::string_view text);
std::string to_text(const Manifest& manifest);

// The whole text of a manifest, given what follows its first line.
std::string signed_text(std::string_view rest);

// The "tensors" member alone, by which ranks tell each other what they write. Types and ranges are
// checked; whether the pieces fill the tensors is not.
std::map<std::string, StoredTensor> parse_tensors(std::string_view text);
std::string to_text(const std::map<std::string, StoredTensor>& tensors);

// Throws Error naming the first tensor whose elements are not all stored exactly once.
void check_cover(const std::map<std::string, StoredTensor>& tensors);

}  // namespace masformer::checkpoint
