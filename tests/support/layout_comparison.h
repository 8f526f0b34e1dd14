// Comparisons that a layout must pass: with one rank, in bf16, and with recomputation. All ranks of
// the world run them together. Each returns the differences that this rank finds, one per line.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/support/layout.h"
#include "tests/support/one_rank_record.h"

namespace masformer::test {

// Compares the initial weights bit for bit; the loss, gradient norm and every gradient of the first
// step; the losses of all steps and of an evaluation.
std::vector<std::string> differences_from_one_rank(const LayoutCase& c,
                                                   const Mutation& mutation = {});
// In bf16, layouts differ by rounding. No layout may differ more from fp32 than one rank does,
// apart from chance.
std::vector<std::string> differences_in_bf16(const LayoutCase& c, const Mutation& mutation = {});
// `recompute` must not need more memory than keeping everything, and must give the same bits.
std::vector<std::string> differences_by_recomputation(const LayoutCase& c,
                                                      const std::string& recompute);

// For each tensor of which this rank owns rows: the norm of their difference from `oracle` may be
// `bound` times the norm of the oracle's rows, or of an average part of that size if that is
// larger.
std::vector<std::string> differences_of_owned_rows(
    const ParameterSet& own, What what, const std::map<std::string, GlobalTensor>& oracle,
    double bound);

}  // namespace masformer::test
