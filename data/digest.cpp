#include "data/digest.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace masformer::data {

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

}  // namespace masformer::data
