// The results of one rank for a case: the oracle for all layouts.
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
  std::map<std::string, GlobalTensor> masters;    // initial
  std::map<std::string, GlobalTensor> gradients;  // of the first step
  double norm = 0;                                // of all gradients
  std::vector<double> losses;                     // of each step, in nats per token
  double evaluation = 0;                          // after the steps
};

// This rank computes the record alone on the first call and keeps it, because many layouts need the
// same one. It does not depend on the case's layout, schedule and recomputation. `nudged`: for a
// run whose weights were moved by their rounding error.
const OneRankRecord& one_rank_record(const LayoutCase& c, bool nudged = false);

// Computes the records of these cases, not nudged, before they are asked for: each rank of the
// world computes some, and all ranks get all. For cases in bf16 also those in fp32. All ranks call
// it with the same cases, and have asked for the same records before.
void share_one_rank_records(const std::vector<LayoutCase>& cases);

// The tensor of a parameter to compare: the owned rows of its fp32 master or summed gradient.
enum class What { master, gradient };
Tensor owned_rows(const Parameter& parameter, What what);
Floats floats(const Tensor& contiguous);

}  // namespace masformer::test
