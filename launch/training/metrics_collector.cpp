#include "launch/training/metrics_collector.h"

#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "launch/output/numbers.h"
#include "launch/training/signals.h"
#include "model/optimizer.h"

namespace masformer {
namespace {

std::int64_t largest(Communicator& world, std::int64_t value) {
  auto number = static_cast<double>(value);
  world.all_reduce(Tensor(&number, {1}, DType::f64, Device::cpu), Reduction::max).wait();
  return static_cast<std::int64_t>(number);
}

template <class Sent, class Visit>
void for_each_count(Sent& sent, Visit visit) {
  for (const Axis axis : all_axes) {
    for (std::size_t i = 0; i < operation_names.size(); ++i) {
      visit(sent[axis][static_cast<Operation>(i)]);
    }
  }
}

void check_finite(std::int64_t number, double loss, double norm) {
  if (std::isfinite(loss) && std::isfinite(norm)) return;
  throw AgreedError(
      fmt::format("step {}: loss {}, gradient norm {}: not finite, so the step was discarded; "
                  "lower train.lr, or raise train.warmup_steps",
                  number, without_nan_sign(loss), without_nan_sign(norm)));
}

}  // namespace

MetricsCollector::MetricsCollector(Job& job)
    : job_(job), flops_(job.plan.model, job.plan.policy.shape.sequence) {}

CollectedStep MetricsCollector::collect(const IssuedStep& step, const StepRunner& runner) {
  const StepSums sums = runner.wait_for_sums();
  const RankSums ranks = sum_over_ranks(step);
  const Clock::time_point before = std::exchange(previous_, Clock::now());
  const double loss = sums.loss / static_cast<double>(step.documents.predicted_tokens);
  const double norm = std::sqrt(sums.squared_gradient_norm);
  check_finite(step.number, loss, norm);
  // The groups allocate their working memory for the first sums and keep it, so the total no longer
  // changes.
  if (peak_memory_ == 0) peak_memory_ = largest(job_.world(), job_.stage.memory().total());
  StepMetrics metrics = measure(step, std::chrono::duration<double>(previous_ - before).count());
  metrics.loss = loss;
  metrics.grad_norm = norm;
  metrics.sent = ranks.sent;
  metrics.bubble = job_.plan.mesh.pipe > 1 ? ranks.waiting_seconds / ranks.total_seconds : 0;
  return {metrics, ranks.stop_requests > 0};
}

MetricsCollector::RankSums MetricsCollector::sum_over_ranks(const IssuedStep& step) {
  // Sums everything in one message.
  std::vector<double> sums{stop_requested() ? 1.0 : 0.0, step.timing.waiting_seconds(),
                           step.timing.total_seconds()};
  const auto counts = std::ssize(sums);
  for_each_count(step.sent, [&](auto bytes) { sums.push_back(static_cast<double>(bytes)); });
  job_.world()
      .all_reduce(Tensor(sums.data(), {std::ssize(sums)}, DType::f64, Device::cpu), Reduction::sum)
      .wait();
  RankSums result{sums[0], sums[1], sums[2], {}};
  auto sum = sums.begin() + counts;
  for_each_count(result.sent, [&](auto& bytes) { bytes = static_cast<std::int64_t>(*sum++); });
  return result;
}

StepMetrics MetricsCollector::measure(const IssuedStep& step, double seconds) const {
  const RunPlan& plan = job_.plan;
  const std::int64_t tokens = plan.global_batch * plan.policy.shape.sequence;
  const double visible = visible_flops(step.documents);
  const double dense = training_per_forward * static_cast<double>(plan.global_batch) *
                       flops_.forward(PairCount::dense);
  StepMetrics metrics;
  metrics.step = step.number;
  metrics.lr = learning_rate(plan.optimizer, step.number);
  metrics.tokens = step.number * tokens;
  metrics.step_seconds = seconds;
  metrics.tokens_per_second = static_cast<double>(tokens) / seconds;
  metrics.model_flops_per_second = visible / seconds;
  metrics.mfu = visible / seconds / job_.peak_flops;
  metrics.mfu_dense = dense / seconds / job_.peak_flops;
  metrics.peak_memory_bytes = peak_memory_;
  return metrics;
}

double MetricsCollector::visible_flops(const PackedDocuments& documents) const {
  if (documents.starts.empty()) {
    return training_per_forward * static_cast<double>(job_.plan.global_batch) *
           flops_.forward(PairCount::visible);
  }
  double flops = 0;
  for (const std::vector<std::int64_t>& starts : documents.starts) {
    flops += training_per_forward * flops_.forward(starts);
  }
  return flops;
}

}  // namespace masformer
