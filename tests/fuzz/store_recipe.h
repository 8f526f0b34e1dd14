// Token stores told in lines, so that what a fuzzer finds can be read:
//
//   /tokens u16 [6] 5 4 300 2 1 0     a data set: type, extents, values; and how it is stored, in
//   /documents u64 chunked 0 2        one word. Also: group, soft /TARGET, external /TARGET
//   vocabulary u32 1000               an attribute of the root: type, extents, values
//   tokenizer vstr some words         str: of fixed length, vstr: of variable length
//   userblock 512
//   byte 3 255                        the value of a byte of the tokens, counted from their first
//   cut 2                             how many bytes the file lacks at its end
//
// Words that mean nothing are passed over: any text makes a file, if not always a store.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/scratch_file.h"

namespace masformer::fuzz {

struct RecipeLine {
  std::string name;                   // the first word
  std::vector<std::string> words;     // the others
  std::vector<std::int64_t> numbers;  // those of them that are numbers
  std::string rest;                   // all that follows the first word

  bool says(std::string_view word) const;
};

std::vector<RecipeLine> read_recipe(std::string_view text);

// The line with that name; none if there is no such.
const RecipeLine* find_line(const std::vector<RecipeLine>& recipe, std::string_view name);

// Writes the store by HDF5 itself, which leaves out what it can't write.
void write_store(const std::vector<RecipeLine>& recipe, const ScratchFile& file);

// Does what the lines `byte` say to the `size` bytes of tokens from `offset`; false without such.
bool damage_tokens(const std::vector<RecipeLine>& recipe, const ScratchFile& file,
                   std::int64_t offset, std::int64_t size);

}  // namespace masformer::fuzz
