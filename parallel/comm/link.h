// Who sends to whom in a group of ranks: what a transport that connects ranks beforehand has to
// know.
#pragma once

#include <vector>

namespace masformer {

// Ranks of the group.
struct Link {
  int from = 0;
  int to = 0;

  auto operator<=>(const Link&) const = default;
};

// Each rank to both of its neighbours in a ring of `ranks`.
std::vector<Link> ring_links(int ranks);

// Each rank to each other one.
std::vector<Link> all_links(int ranks);

}  // namespace masformer
