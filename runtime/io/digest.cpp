#include "runtime/io/digest.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>
#include <xxhash.h>

namespace masformer::io {

struct Digest::State {
  XXH3_state_t hash;
};

Digest::Digest() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(&state_->hash);
}
Digest::~Digest() = default;

void Digest::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(&state_->hash, bytes.data(), bytes.size());
}

std::string Digest::hex() const {
  const XXH128_hash_t digest = XXH3_128bits_digest(&state_->hash);
  return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
}

std::string digest_of(std::string_view bytes) {
  Digest digest;
  digest.update(std::as_bytes(std::span(bytes)));
  return digest.hex();
}

std::string digest_of(const File& file) {
  constexpr std::int64_t block_bytes = std::int64_t{1} << 20;
  const auto block = std::make_unique_for_overwrite<std::byte[]>(block_bytes);
  Digest digest;
  const std::int64_t bytes = file.bytes();
  for (std::int64_t at = 0; at < bytes; at += block_bytes) {
    const std::span part(block.get(), static_cast<std::size_t>(std::min(block_bytes, bytes - at)));
    file.read_at(at, part);
    digest.update(part);
  }
  return digest.hex();
}

}  // namespace masformer::io
