// The comparisons that a layout must stand: with one rank, in bf16, and with recomputation. Run by
// all ranks of a test's world together; each returns what this rank finds amiss, a line each.
#pragma once

#include <string>
#include <vector>

#include "tests/support/layout.h"

namespace masformer::test {

// The same weights at the start, bit for bit; loss, gradient norm and every gradient of the first
// step; losses over all steps and of an evaluation. The bounds are the design's.
std::vector<std::string> differences_from_one_rank(const LayoutCase& c,
                                                   const Mutation& mutation = {});
// In bf16, layouts differ by rounding: none is further from fp32 than one rank is, by more than
// chance.
std::vector<std::string> differences_in_bf16(const LayoutCase& c, const Mutation& mutation = {});
// `recompute` takes no more memory than keeping everything, and gives the same bits.
std::vector<std::string> differences_by_recomputation(const LayoutCase& c,
                                                      const std::string& recompute);

}  // namespace masformer::test
