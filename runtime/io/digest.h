// XXH3-128 digests as 32 lower-case hexadecimal digits, the high 64 bits first.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/io/file.h"

namespace masformer::io {

// The digest of bytes that arrive in pieces.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(std::span<const std::byte> bytes);
  std::string hex() const;  // the digest of all bytes so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string digest_of(std::string_view bytes);
std::string digest_of(const File& file);  // read in blocks; independent of read_next()

}  // namespace masformer::io
