// A strict check of UTF-8 (RFC 3629): neither overlong forms, nor surrogates, nor characters above
// U+10FFFF. Bytes may come in pieces of any size.
#pragma once

#include <cstdint>
#include <string_view>

namespace masformer::data {

class Utf8Validator {
 public:
  // The next bytes. False where they can't go on as UTF-8; nothing may be fed after that.
  bool feed(std::string_view bytes);
  // False where the text ends within a character.
  bool complete() const { return missing_ == 0; }
  // Bytes of all whole characters so far: where the text stops being UTF-8.
  std::int64_t valid_bytes() const { return valid_bytes_; }

 private:
  bool start(unsigned char byte);

  std::int64_t valid_bytes_ = 0;
  int length_ = 0;   // bytes of the character that was begun
  int missing_ = 0;  // of them, those still to come
  // The range of the next byte: narrower than 80-BF behind some first bytes.
  unsigned char lowest_ = 0;
  unsigned char highest_ = 0;
};

// Whether the text is UTF-8 from its first byte to its last.
bool is_utf8(std::string_view text);

}  // namespace masformer::data
