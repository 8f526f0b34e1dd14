// The frames of TensorBoard's files, by published checksums, and by damage to each byte.
#include "launch/output/tfrecord.h"

#include <sstream>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace masformer {
namespace {

// RFC 3720, appendix B.4, and the check value of CRC-32/ISCSI in the catalogue of CRC algorithms.
TEST(Crc32c, IsThatOfPublishedVectors) {
  std::string up, down;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i);
  for (int i = 31; i >= 0; --i) down += static_cast<char>(i);
  const std::vector<std::pair<std::string, std::uint32_t>> vectors{
      {"", 0},
      {"123456789", 0xE3069283},
      {std::string(32, '\0'), 0x8A9136AA},
      {std::string(32, '\xFF'), 0x62A8AB43},
      {up, 0x46DD794E},
      {down, 0x113FDB5C}};
  for (const auto& [bytes, crc] : vectors) EXPECT_EQ(crc32c(bytes), crc) << bytes;
}

// By TensorFlow's crc32c_test.cc, Mask() of a checksum differs from it, and from its own Mask().
TEST(Crc32c, IsMaskedByRotationAndAConstant) {
  EXPECT_EQ(masked_crc32c(""), 0xA282EAD8u);
  EXPECT_EQ(masked_crc32c("123456789"), ((0xE3069283u >> 15) | (0xE3069283u << 17)) + 0xA282EAD8u);
}

TEST(Tfrecord, ReadsBackWhatItFrames) {
  const std::vector<std::string> records{"", "a", std::string(1000, '\0'), "\xFF\n\r\t"};
  std::string file;
  for (const std::string& record : records) file += framed(record);
  EXPECT_EQ(framed("abc").size(), 8u + 4 + 3 + 4);
  std::istringstream stream(file);
  for (const std::string& record : records) EXPECT_EQ(read_framed(stream), record);
  EXPECT_EQ(read_framed(stream), std::nullopt);
}

TEST(Tfrecord, RefusesEachFlippedBitAndEachShorterFile) {
  const std::string good = framed("some record");
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      std::istringstream stream(bad);
      EXPECT_EQ(read_framed(stream), std::nullopt) << i << " " << bit;
    }
    std::istringstream stream(good.substr(0, i));
    EXPECT_EQ(read_framed(stream), std::nullopt) << i;
  }
}

}  // namespace
}  // namespace masformer
