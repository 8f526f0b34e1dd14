// A strict check of UTF-8 (RFC 3629): no overlong forms, no surrogates, no characters above
// U+10FFFF. The bytes may be fed in pieces of any size.
#pragma once

#include <cstdint>
#include <string_view>

namespace masformer::data {

class Utf8Validator {
 public:
  // Takes the next bytes. Returns false if the text is not UTF-8; feed nothing after that.
  bool feed(std::string_view bytes);
  // Whether the text so far ends with a complete character.
  bool complete() const { return missing_ == 0; }
  // The bytes of all complete characters so far, which is where the text stops being UTF-8.
  std::int64_t valid_bytes() const { return valid_bytes_; }

 private:
  bool start(unsigned char byte);

  std::int64_t valid_bytes_ = 0;
  int length_ = 0;   // bytes of the incomplete character
  int missing_ = 0;  // bytes of it that are still to come
  // The range of the next byte, which is narrower than 80-BF after some first bytes.
  unsigned char lowest_ = 0;
  unsigned char highest_ = 0;
};

// Whether the whole text is UTF-8.
bool is_utf8(std::string_view text);

}  // namespace masformer::data
