#include "parallel/pipeline/placement.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"

namespace masformer {

Placement::Placement(std::vector<std::vector<int>> parts) : parts_(std::move(parts)) {
  require(!parts_.empty() && !parts_.front().empty(), "a placement has no parts");
  const std::size_t chunks = parts_.front().size();
  constexpr Place nowhere{-1, -1};
  places_.assign(parts_.size() * chunks, nowhere);
  for (int stage = 0; stage < stages(); ++stage) {
    const std::vector<int>& held = parts_[static_cast<std::size_t>(stage)];
    require(held.size() == chunks && std::ranges::is_sorted(held),
            "stage {} holds {} parts: it must hold {} in ascending order", stage, held.size(),
            chunks);
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
      const int part = held[chunk];
      const bool is_new = part >= 0 && part < this->parts() && place(part) == nowhere;
      require(is_new,
              "part {} (of {}) is listed on stage {}, but it does not exist or was listed before: "
              "each part must be listed once",
              part, this->parts(), stage);
      places_[static_cast<std::size_t>(part)] = {stage, static_cast<int>(chunk)};
    }
  }
  const int last = places_.back().stage;
  require(places_.front().stage == 0, "the first part is on stage {}, but must be on stage 0",
          places_.front().stage);
  require(last == 0 || last == stages() - 1,
          "the last part is on stage {}, but must be on stage 0 or on the last stage, {}", last,
          stages() - 1);
}

Placement Placement::round_robin(int stages, int chunks) {
  std::vector<std::vector<int>> parts(static_cast<std::size_t>(stages));
  for (int part = 0; part < stages * chunks; ++part) {
    parts[static_cast<std::size_t>(part % stages)].push_back(part);
  }
  return Placement(std::move(parts));
}

Placement Placement::v_shape(int stages) {
  std::vector<std::vector<int>> parts;
  for (int stage = 0; stage < stages; ++stage) parts.push_back({stage, 2 * stages - 1 - stage});
  return Placement(std::move(parts));
}

int Placement::part(int stage, int chunk) const {
  return parts_[static_cast<std::size_t>(stage)][static_cast<std::size_t>(chunk)];
}

bool Placement::holds(int stage, int part) const {
  return part >= 0 && part < parts() && place(part).stage == stage;
}

}  // namespace masformer
