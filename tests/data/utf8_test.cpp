// The UTF-8 check, compared with a table and with all short byte strings.
#include "data/utf8.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace masformer::test {
namespace {

using data::Utf8Validator;

// The byte at which `text` stops being UTF-8, fed in pieces of `piece` bytes; nullopt if it is
// UTF-8.
std::optional<std::int64_t> first_bad(std::string_view text, std::size_t piece) {
  Utf8Validator validator;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    if (!validator.feed(text.substr(at, piece))) return validator.valid_bytes();
  }
  if (!validator.complete()) return validator.valid_bytes();
  EXPECT_EQ(validator.valid_bytes(), static_cast<std::int64_t>(text.size()));
  return std::nullopt;
}

struct Case {
  std::string text;
  std::optional<std::int64_t> bad;
};

TEST(Utf8, FindsTheFirstBadByteInPiecesOfEverySize) {
  using std::string_literals::operator""s;
  const Case cases[] = {
      {"", {}},
      {"plain ASCII, longer than a word\0of eight bytes"s, {}},
      {"\u00e9t\u00e9 \u4e2d\u6587 \U0001F600 end", {}},
      {"\xC2\x80 \xDF\xBF", {}},                  // U+0080, U+07FF
      {"\xE0\xA0\x80 \xED\x9F\xBF", {}},          // U+0800, U+D7FF
      {"\xEE\x80\x80 \xEF\xBF\xBF", {}},          // U+E000, U+FFFF
      {"\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF", {}},  // U+10000, U+10FFFF
      {"\xEF\xBB\xBF with a byte order mark\r\n", {}},
      {"\x80", 0},
      {"12345678\xBF", 8},
      {"ab\xC0\x80", 2},  // overlong forms
      {"ab\xC1\xBF", 2},
      {"ab\xE0\x9F\xBF", 2},
      {"ab\xF0\x8F\xBF\xBF", 2},
      {"a\xED\xA0\x80", 1},  // surrogates
      {"a\xED\xBF\xBF", 1},
      {"\xF4\x90\x80\x80", 0},  // above U+10FFFF
      {"\xF5\x80\x80\x80", 0},
      {"\xFF\xFE", 0},
      {"caf\xE9 in Latin-1", 3},
      {"\u00e9\xC3", 2},  // cut off
      {"abc\xF0\x9F\x98", 3},
      {"\xE4\xB8\xE4\xB8\xAD", 0},
  };
  for (const Case& c : cases) {
    for (std::size_t piece = 1; piece <= 16; ++piece) {
      EXPECT_EQ(first_bad(c.text, piece), c.bad) << testing::PrintToString(c.text) << piece;
    }
  }
}

std::string encode(std::uint32_t point) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xC0 | point >> 6), tail(0)};
  if (point < 0x10000) return {static_cast<char>(0xE0 | point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | point >> 18), tail(12), tail(6), tail(0)};
}

// All characters are accepted. The number of accepted strings of up to three bytes equals the
// number of strings of characters of that length, so nothing else is accepted.
TEST(Utf8, AcceptsExactlyTheEncodingsOfCharacters) {
  for (std::uint32_t point = 0; point <= 0x10FFFF; ++point) {
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    ASSERT_EQ(first_bad(encode(point), 4).has_value(), surrogate) << point;
  }
  const std::int64_t of_one = 128, of_two = 0x800 - 0x80, of_three = 0x10000 - 0x800 - 0x800;
  const std::int64_t expected[] = {1, of_one, of_one * of_one + of_two,
                                   of_one * of_one * of_one + 2 * of_one * of_two + of_three};
  for (int length = 1; length <= 3; ++length) {
    std::int64_t accepted = 0;
    for (std::uint32_t bits = 0; bits < 1U << (8 * length); ++bits) {
      char text[3];
      for (int i = 0; i < 3; ++i) text[i] = static_cast<char>(bits >> (8 * i));
      Utf8Validator validator;
      const bool fed = validator.feed({text, static_cast<std::size_t>(length)});
      accepted += fed && validator.complete() ? 1 : 0;
    }
    EXPECT_EQ(accepted, expected[length]) << length;
  }
}

}  // namespace
}  // namespace masformer::test
