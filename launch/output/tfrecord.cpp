#include "launch/output/tfrecord.h"

#include <array>
#include <bit>

namespace masformer {
namespace {

constexpr std::uint32_t castagnoli = 0x82F63B78;  // its polynomial, lowest bit first

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? castagnoli : 0);
    table[byte] = crc;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> crc_table = make_crc_table();
constexpr std::size_t length_bytes = 8, crc_bytes = 4;
// No record of ours is as large: a longer one is damage that its checksum happens to match.
constexpr std::uint64_t longest_record = std::uint64_t{1} << 30U;

std::string little_endian(std::uint64_t value, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += static_cast<char>(value >> (8 * i) & 0xFFU);
  return text;
}

std::uint64_t from_little_endian(std::string_view text) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
  }
  return value;
}

// Reads `count` bytes and the checksum behind them.
std::optional<std::string> read_checked(std::istream& file, std::size_t count) {
  std::string bytes(count, '\0'), crc(crc_bytes, '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(count))) return std::nullopt;
  if (!file.read(crc.data(), crc_bytes)) return std::nullopt;
  if (from_little_endian(crc) != masked_crc32c(bytes)) return std::nullopt;
  return bytes;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) {
    crc = (crc >> 8U) ^ crc_table[(crc ^ static_cast<unsigned char>(byte)) & 0xFFU];
  }
  return ~crc;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  constexpr std::uint32_t delta = 0xA282EAD8;
  return std::rotr(crc32c(bytes), 15) + delta;
}

std::string framed(std::string_view record) {
  const std::string length = little_endian(record.size(), length_bytes);
  return length + little_endian(masked_crc32c(length), crc_bytes) + std::string(record) +
         little_endian(masked_crc32c(record), crc_bytes);
}

std::optional<std::string> read_framed(std::istream& file) {
  const auto length = read_checked(file, length_bytes);
  if (!length || from_little_endian(*length) > longest_record) return std::nullopt;
  return read_checked(file, from_little_endian(*length));
}

}  // namespace masformer
