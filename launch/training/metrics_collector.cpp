#include "launch/training/metrics_collector.h"

#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/output/numbers.h"
#include "launch/training/device_choice.h"
#include "launch/training/signals.h"
#include "model/optimizer.h"
#include "parallel/checkpoint/directory.h"

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

std::string kept_checkpoint(const std::filesystem::path& run_dir) {
  const auto checkpoints = list_checkpoints(run_dir);
  if (checkpoints.empty()) return "there is no checkpoint yet, so the run starts again";
  return fmt::format("{} stays, and the run resumes from it",
                     checkpoints.rbegin()->second.string());
}

}  // namespace

MetricsCollector::MetricsCollector(Job& job, std::filesystem::path run_dir)
    : job_(job),
      run_dir_(std::move(run_dir)),
      hosts_(job.world().all_gather(host_name())),
      slow_ranks_(groups_of_equal_work(job.plan)),
      flops_(job.plan.model, job.plan.policy.shape.sequence) {}

void MetricsCollector::check_finite(const IssuedStep& step, double loss, double norm,
                                    const StepRunner& runner) {
  if (std::isfinite(loss) && std::isfinite(norm)) return;
  throw AgreedError(
      fmt::format("step {}: loss {}, gradient norm {}: not finite, so the step was discarded; "
                  "lower train.lr, or raise train.warmup_steps\n{}\n{}",
                  step.number, without_nan_sign(loss), without_nan_sign(norm),
                  origin(runner.own_loss(step.number)), kept_checkpoint(run_dir_)));
}

std::string MetricsCollector::origin(double own_loss) {
  const Mesh& mesh = job_.plan.mesh;
  const auto finite = job_.world().all_gather(std::isfinite(own_loss) ? "yes" : "no");
  std::vector<std::string> names;
  int computed = 0;  // ranks with a loss: tensor ranks have the same one
  for (int rank = 0; rank < mesh.size(); ++rank) {
    const Coordinate at = mesh.coordinate(rank);
    if (at.tensor > 0 || at.pipe != mesh.pipe - 1) continue;
    ++computed;
    const auto index = static_cast<std::size_t>(rank);
    if (finite[index] == "no") names.push_back(name_of_rank(rank, hosts_[index], at));
  }
  if (names.empty()) return "the loss of each rank's micro-batches is finite, a gradient is not";
  constexpr std::size_t few = 4;
  const std::size_t all = names.size();
  if (all > few) names.resize(few);
  return fmt::format(
      "the loss is not finite in the micro-batches of {}{}: {} of {} ranks that "
      "compute it",
      fmt::join(names, ", "), all > few ? ", ..." : "", all, computed);
}

std::string MetricsCollector::note_slow_ranks(const IssuedStep& step,
                                              const std::vector<double>& busy) {
  // The first step of a process loads libraries and touches memory.
  if (peak_memory_ == 0 || !busy_is_timed(job_, step.number)) return "";
  const auto slow = slow_ranks_.add(busy);
  return slow ? describe(*slow, hosts_, job_.plan.mesh) : "";
}

CollectedStep MetricsCollector::collect(const IssuedStep& step, const StepRunner& runner) {
  const StepSums sums = runner.wait_for_sums();
  step.timing.set_device_times();
  const RankSums ranks = sum_over_ranks(step);
  const Clock::time_point before = std::exchange(previous_, Clock::now());
  const double loss = sums.loss / static_cast<double>(step.documents.predicted_tokens);
  const double norm = std::sqrt(sums.squared_gradient_norm);
  check_finite(step, loss, norm, runner);
  const std::string note = note_slow_ranks(step, ranks.busy);
  // The groups allocate their working memory for the first sums and keep it, so the total no longer
  // changes.
  if (peak_memory_ == 0) peak_memory_ = largest(job_.world(), job_.stage.memory().total());
  StepMetrics metrics = measure(step, std::chrono::duration<double>(previous_ - before).count());
  metrics.loss = loss;
  metrics.grad_norm = norm;
  metrics.sent = ranks.sent;
  metrics.bubble = job_.plan.mesh.pipe > 1 ? ranks.waiting_seconds / ranks.total_seconds : 0;
  return {metrics, ranks.stop_requests > 0, note};
}

MetricsCollector::RankSums MetricsCollector::sum_over_ranks(const IssuedStep& step) {
  // Sums everything in one message.
  std::vector<double> sums{stop_requested() ? 1.0 : 0.0, step.timing.waiting_seconds(),
                           step.timing.total_seconds()};
  const auto counts = std::ssize(sums);
  // A place for each rank, so that the sum has the seconds of all.
  sums.resize(sums.size() + hosts_.size());
  sums[static_cast<std::size_t>(counts + job_.world().rank())] = step.waits.busy_seconds();
  for_each_count(step.sent, [&](auto bytes) { sums.push_back(static_cast<double>(bytes)); });
  job_.world()
      .all_reduce(Tensor(sums.data(), {std::ssize(sums)}, DType::f64, Device::cpu), Reduction::sum)
      .wait();
  RankSums result{sums[0], sums[1], sums[2], {}};
  auto sum = sums.begin() + counts;
  result.busy.assign(sum, sum + std::ssize(hosts_));
  sum += std::ssize(hosts_);
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
