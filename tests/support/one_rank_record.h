// What one rank makes of a case: the oracle that layouts are compared with.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/layout.h"

namespace masformer::test {

using Floats = std::vector<float>;

// A whole tensor of the model, row by row.
struct GlobalTensor {
  std::int64_t columns;
  Floats numbers;

  Floats part(const Hyperslab& slab) const;
};

struct OneRankRecord {
  std::map<std::string, GlobalTensor> masters;    // at the start
  std::map<std::string, GlobalTensor> gradients;  // of the first step
  double norm;                                    // of them all
  std::vector<double> losses;                     // of each step, in nats a token
  double evaluation;                              // after them
};

// Computed by this rank alone on the first call; kept, since many layouts ask for the same. The
// case's layout, schedule and recomputation play no part. `nudged`: of a run whose weights were
// moved by their rounding.
const OneRankRecord& one_rank_record(const LayoutCase& c, bool nudged = false);

// What is compared of a parameter: this rank's rows of its fp32 master or of its summed gradient.
enum class What { master, gradient };
Tensor owned_rows(const Parameter& parameter, What what);
Floats floats(const Tensor& contiguous);

}  // namespace masformer::test
