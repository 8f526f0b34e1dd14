// Documents that are packed into one sample give the loss and the gradients that each gives alone.
// Each document alone is a sequence without a mask, so this also proves the mask of one rank.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/sharding.h"
#include "tests/support/layout_comparison.h"
#include "tests/support/one_rank_record.h"

namespace masformer::test {
namespace {

struct Sums {
  double loss = 0;
  std::map<std::string, std::vector<double>> gradients;
};

// Over the documents of the sample, each alone on this rank.
Sums each_alone(const LayoutCase& packed) {
  Sums sums;
  std::vector<std::int64_t> starts = document_starts(packed, 0);
  starts.push_back(packed.sequence);
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    LayoutCase alone = packed;
    alone.mesh = {};
    alone.documents.clear();
    alone.sequence = starts[i + 1] - starts[i];
    alone.cut_from = packed.sequence;
    alone.cut_at = starts[i];
    alone.steps = 1;
    if (alone.sequence < 2) continue;  // it predicts nothing
    const OneRankRecord& record = one_rank_record(alone);
    const auto predicted = static_cast<double>(predicted_tokens(alone));
    sums.loss += predicted * record.losses.front();
    for (const auto& [name, gradient] : record.gradients) {
      std::vector<double>& sum = sums.gradients[name];
      sum.resize(gradient.numbers.size());
      for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += predicted * gradient.numbers[k];
    }
  }
  return sums;
}

std::vector<LayoutCase> cases() {
  std::vector<LayoutCase> all;
  for (const std::string documents : {"7,5,1", "1*13,2,20", "24", "3*15"}) {
    for (const std::string order : {"contiguous", "zigzag"}) {
      all.push_back({.mesh = {.context = world().size()},
                     .samples = 1,
                     .sequence = 48 * world().size(),
                     .spans = "full,window:5,window:16,full",
                     .steps = 1,
                     .order = order,
                     .documents = documents});
    }
  }
  return all;
}

TEST(PackedDocuments, GiveTheSumOfEachAlone) {
  for (const LayoutCase& c : cases()) {
    SCOPED_TRACE(testing::Message() << c);
    const Sums alone = each_alone(c);
    LayoutRun packed = over_all_ranks(c);
    packed.forward_backward(0);
    const auto predicted = static_cast<double>(predicted_tokens(c));
    EXPECT_NEAR(packed.loss() * predicted / alone.loss, 1, 5e-7);
    for (const Parameter& parameter : packed.parameters()) {
      for (const LogicalTensor& tensor : parameter.spec.tensors) {
        const Tensor owned = parameter.owned_rows(owned_rows(parameter, What::gradient), tensor);
        const Hyperslab slab = owned_part(parameter.spec, tensor).slab;
        const std::vector<double>& sums = alone.gradients.at(tensor.name);
        const Floats whole(sums.begin(), sums.end());
        const Floats expected =
            GlobalTensor{slab.shape.size() == 2 ? tensor.global_shape[1] : 1, whole}.part(slab);
        double distance = 0, norm = 0;
        const Floats actual = floats(owned);
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t k = 0; k < actual.size(); ++k) {
          distance += std::pow(actual[k] * predicted - expected[k], 2);
        }
        for (const float each : whole) norm += std::pow(each, 2);
        EXPECT_LE(std::sqrt(distance), 5e-6 * std::sqrt(norm)) << tensor.name;
      }
    }
  }
}

}  // namespace
}  // namespace masformer::test
