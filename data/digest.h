// XXH3-128 of bytes that come in pieces.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace masformer::data {

class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(std::span<const std::byte> bytes);
  std::string hex() const;  // 32 digits, the canonical (big-endian) form

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masformer::data
