#include "data/utf8.h"

#include <cstring>

namespace masformer::data {
namespace {

// The number of leading ASCII bytes, rounded down to a multiple of 8.
std::size_t ascii_prefix(std::string_view bytes) {
  constexpr std::uint64_t high_bits = 0x8080808080808080ULL;
  std::size_t at = 0;
  for (std::uint64_t word = 0; at + sizeof word <= bytes.size(); at += sizeof word) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if ((word & high_bits) != 0) break;
  }
  return at;
}

// The first bytes of characters of two or more bytes, and the range of the byte that follows
// (RFC 3629, section 4).
struct Lead {
  unsigned char first, last;
  unsigned char length;
  unsigned char lowest, highest;
};
constexpr Lead leads[] = {
    {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF}, {0xE1, 0xEC, 3, 0x80, 0xBF},
    {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF}, {0xF0, 0xF0, 4, 0x90, 0xBF},
    {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

}  // namespace

bool Utf8Validator::start(unsigned char byte) {
  for (const Lead& lead : leads) {
    if (byte < lead.first || byte > lead.last) continue;
    length_ = lead.length;
    missing_ = lead.length - 1;
    lowest_ = lead.lowest;
    highest_ = lead.highest;
    return true;
  }
  return false;
}

bool Utf8Validator::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (missing_ == 0) {
      const std::size_t skipped = ascii_prefix(bytes);
      valid_bytes_ += static_cast<std::int64_t>(skipped);
      bytes.remove_prefix(skipped);
      if (bytes.empty()) break;
    }
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    if (missing_ > 0) {
      if (byte < lowest_ || byte > highest_) return false;
      lowest_ = 0x80;
      highest_ = 0xBF;
      if (--missing_ == 0) valid_bytes_ += length_;
    } else if (byte < 0x80) {
      ++valid_bytes_;
    } else if (!start(byte)) {
      return false;
    }
  }
  return true;
}

bool is_utf8(std::string_view text) {
  Utf8Validator check;
  return check.feed(text) && check.complete();
}

}  // namespace masformer::data
