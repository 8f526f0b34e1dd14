#include "parallel/comm/link.h"

namespace masformer {

std::vector<Link> ring_links(int ranks) {
  std::vector<Link> links;
  const int pairs = ranks == 2 ? 1 : ranks;
  for (int rank = 0; ranks > 1 && rank < pairs; ++rank) {
    const int next = (rank + 1) % ranks;
    links.push_back({rank, next});
    links.push_back({next, rank});
  }
  return links;
}

std::vector<Link> all_links(int ranks) {
  std::vector<Link> links;
  for (int from = 0; from < ranks; ++from) {
    for (int to = 0; to < ranks; ++to) {
      if (from != to) links.push_back({from, to});
    }
  }
  return links;
}

}  // namespace masformer
