#include "tests/support/layout_comparison.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "runtime/error.h"
#include "tests/support/schedules.h"

namespace masformer::test {
namespace {

// Calls visit(name, owned numbers, their slab in the global tensor) for each tensor of which this
// rank owns rows.
template <class Visit>
void for_each_owned(const ParameterSet& own, What what, const Visit& visit) {
  for (const Parameter& parameter : own) {
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      const Tensor rows = parameter.owned_rows(owned_rows(parameter, what), tensor);
      visit(tensor.name, floats(rows), owned_part(parameter.spec, tensor).slab);
    }
  }
}

double distance(const Floats& a, const Floats& b) {
  require(a.size() == b.size(), "{} numbers beside {}", a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double(a[i]) - double(b[i]), 2);
  return std::sqrt(sum);
}

double distance(const std::map<std::string, GlobalTensor>& a,
                const std::map<std::string, GlobalTensor>& b) {
  double sum = 0;
  for (const auto& [name, tensor] : a) {
    sum += std::pow(distance(tensor.numbers, b.at(name).numbers), 2);
  }
  return std::sqrt(sum);
}

double norm_of(const Floats& x) {
  return distance(x, Floats(x.size()));
}

// The norm that a part of a tensor has on average, as a share of the whole tensor's.
double share_of(const Floats& part, const Floats& whole) {
  return std::sqrt(double(part.size()) / double(whole.size()));
}

// How much farther than usual a few numbers may be off by chance: the norm of n random errors
// deviates by sqrt(1 / (2 n)) of itself, and twice that is allowed.
double chance_of(const Floats& part) {
  return 1 + 2 * std::sqrt(0.5 / std::max(1.0, double(part.size())));
}

// Collects differences.
class Findings {
 public:
  // |actual / expected - 1| <= bound
  void ratio(const std::string& what, double actual, double expected, double bound) {
    at_most(what, std::abs(actual / expected - 1), bound);
  }
  // False for NaN.
  void at_most(const std::string& what, double value, double bound) {
    if (!(value <= bound)) found_.push_back(fmt::format("{}: {} > {}", what, value, bound));
  }
  void holds(const std::string& what, bool value) {
    if (!value) found_.push_back(what);
  }
  // Compares each tensor of which this rank owns rows with the oracle's, by norm; a bound of 0
  // requires equal numbers. Norms below `least`, where gradients cancel, count as `least`. A few
  // rows are judged by at least their share of the whole tensor's norm.
  void close(const ParameterSet& own, What what, const std::map<std::string, GlobalTensor>& oracle,
             double bound, double least = 0) {
    for_each_owned(own, what, [&](const auto& name, const Floats& rows, const Hyperslab& slab) {
      const Floats& whole = oracle.at(name).numbers;
      const Floats expected = oracle.at(name).part(slab);
      const double norm =
          std::max({norm_of(expected), share_of(expected, whole) * norm_of(whole), least});
      at_most(name, distance(rows, expected), bound * chance_of(rows) * norm);
    });
  }

  const std::vector<std::string>& found() const { return found_; }

 private:
  std::vector<std::string> found_;
};

bool splits_backwards(const LayoutCase& c) {
  const int micro_batches = c.samples / c.micro_batch / c.mesh.data;
  const Schedule schedule = schedule_named(c.schedule, c.mesh.pipe, micro_batches, c.chunks);
  return std::ranges::any_of(schedule.actions, [](const std::vector<Action>& actions) {
    return std::ranges::count(actions, ActionKind::backward_input, &Action::kind) > 0;
  });
}

}  // namespace

namespace {

// How far a layout's loss in one step may differ, relatively, from the loss on one rank. Layouts
// round differently in every step. A few models amplify rounding: there layouts were seen to differ
// by ten times what rounding the initial weights changes on one rank. So the bound is 20 times that
// change, if this is more than the usual bound.
double loss_bound(const LayoutCase& c, std::size_t step, double loss) {
  const double exact = one_rank_record(c).losses[step], usual = step == 0 ? 5e-7 : 5e-6;
  if (std::abs(loss / exact - 1) <= usual) return usual;
  return std::max(usual, 20 * std::abs(one_rank_record(c, true).losses[step] / exact - 1));
}

}  // namespace

std::vector<std::string> differences_from_one_rank(const LayoutCase& c, const Mutation& mutation) {
  const OneRankRecord& oracle = one_rank_record(c);
  LayoutRun run = over_all_ranks(c, mutation);
  Findings findings;
  findings.close(run.parameters(), What::master, oracle.masters, 0);
  for (int step = 0; step < c.steps; ++step) {
    run.forward_backward(step);
    const auto at = static_cast<std::size_t>(step);
    findings.ratio(fmt::format("loss of step {}", step), run.loss(), oracle.losses[at],
                   loss_bound(c, at, run.loss()));
    if (step == 0) {
      findings.ratio("gradient norm", run.norm(), oracle.norm, 1e-6);
      // Queries that see few keys have tiny gradients, so rounding is large in relation.
      const double least = c.sequence < 5 ? 0.1 * oracle.norm : 0;
      findings.close(run.parameters(), What::gradient, oracle.gradients, 5e-6, least);
    }
    run.update_weights(step);
  }
  findings.ratio("evaluation", run.evaluate(c.steps), oracle.evaluation, 5e-6);
  findings.holds("both copies of the token table are equal", run.copies_are_equal());
  return findings.found();
}

std::vector<std::string> differences_in_bf16(const LayoutCase& c, const Mutation& mutation) {
  const auto in = [&](DType dtype) {
    LayoutCase changed = c;
    changed.dtype = dtype;
    return changed;
  };
  const OneRankRecord& exact = one_rank_record(in(DType::f32));
  const OneRankRecord& one_rank = one_rank_record(in(DType::bf16));
  LayoutRun run = over_all_ranks(in(DType::bf16), mutation);
  Findings findings;
  findings.close(run.parameters(), What::master, exact.masters, 0);
  for (int step = 0; step < c.steps; ++step) {
    run.forward_backward(step);
    findings.ratio(fmt::format("loss of step {}", step), run.loss(),
                   exact.losses[static_cast<std::size_t>(step)], 5e-3);
    if (step == 0) {
      // The difference of the norms depends on chance, but is at most the norm of the difference.
      findings.ratio("gradient norm", run.norm(), exact.norm,
                     distance(one_rank.gradients, exact.gradients) / exact.norm);
      for_each_owned(run.parameters(), What::gradient,
                     [&](const auto& name, const Floats& rows, const Hyperslab& slab) {
                       const Floats truth = exact.gradients.at(name).part(slab);
                       const GlobalTensor& rounded = one_rank.gradients.at(name);
                       const double one = distance(rounded.part(slab), truth);
                       const Floats& whole = exact.gradients.at(name).numbers;
                       const double share =
                           share_of(truth, whole) * distance(rounded.numbers, whole);
                       findings.at_most(name, distance(rows, truth),
                                        2.5 * chance_of(rows) * std::max(one, share));
                     });
    }
    run.update_weights(step);
  }
  findings.ratio("evaluation", run.evaluate(c.steps), exact.evaluation, 5e-3);
  findings.holds("both copies of the token table are equal", run.copies_are_equal());
  return findings.found();
}

std::vector<std::string> differences_by_recomputation(const LayoutCase& c,
                                                      const std::string& recompute) {
  LayoutCase changed = c;
  changed.recompute = recompute;
  LayoutRun kept = over_all_ranks(c);
  LayoutRun recomputed = over_all_ranks(changed);
  Findings findings;
  // Where weight gradients wait, what was recomputed for them waits, too.
  findings.holds(
      "it takes no more memory",
      splits_backwards(c) || recomputed.memory().activations <= kept.memory().activations);
  for (int step = 0; step < 2; ++step) {
    for (LayoutRun* const run : {&kept, &recomputed}) {
      run->forward_backward(step);
      run->update_weights(step);
    }
    findings.ratio("loss", recomputed.loss(), kept.loss(), 0);
    findings.ratio("gradient norm", recomputed.norm(), kept.norm(), 0);
  }
  for (ParameterId id = 0; id < kept.parameters().size(); ++id) {
    const Tensor a = kept.parameters()[id].master;
    const Tensor b = recomputed.parameters()[id].master;
    findings.holds("the same bits", same_bits(a, b));
  }
  return findings.found();
}

std::vector<std::string> differences_of_owned_rows(
    const ParameterSet& own, What what, const std::map<std::string, GlobalTensor>& oracle,
    double bound) {
  Findings findings;
  findings.close(own, what, oracle, bound);
  return findings.found();
}

}  // namespace masformer::test
