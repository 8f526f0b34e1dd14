// Which ranks of a group send messages to which. NCCL needs to know, since it connects them
// beforehand.
#pragma once

#include <vector>

namespace masformer {

// From one rank of the group to another.
struct Link {
  int from = 0;
  int to = 0;

  auto operator<=>(const Link&) const = default;
};

// From each rank to both of its neighbours in a ring.
std::vector<Link> ring_links(int ranks);

// From each rank to every other rank.
std::vector<Link> all_links(int ranks);

}  // namespace masformer
