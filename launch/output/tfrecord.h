// The framing of TensorBoard's files, TFRecord: the length of a record as 8 bytes, a checksum of
// these 8, the record, and a checksum of the record; integers are little-endian. From TensorFlow's
// tensorflow/core/lib/io/record_writer.h and lib/hash/crc32c.h.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

namespace masformer {

// CRC-32C (Castagnoli), RFC 3720, appendix B.4. About 2 ns a byte.
std::uint32_t crc32c(std::string_view bytes);
// What the files hold of it: rotated, plus a constant, so that checksums of checksums stay good.
std::uint32_t masked_crc32c(std::string_view bytes);

// A record with its frame.
std::string framed(std::string_view record);
// Reads the next record. Returns nothing at the end, and where a record is damaged or cut off.
std::optional<std::string> read_framed(std::istream& file);

}  // namespace masformer
