#include "launch/training/evaluation.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "parallel/comm/collective_errors.h"

namespace masformer {
namespace {

// Loads the windows [begin, end), padded to `samples` with windows whose labels are all -1, which
// count no token.
Batch load_windows(const Split& split, const Window& window, std::int64_t begin, std::int64_t end,
                   std::int64_t samples) {
  Batch batch;
  for (std::int64_t i = 0; i < samples; ++i) {
    append_window(split, window, std::min(begin + i, end - 1), batch);
    if (begin + i >= end) std::fill(batch.labels.end() - batch.sequence, batch.labels.end(), -1);
  }
  return batch;
}

std::int64_t end_of(const Split& split, const Window& window, std::int64_t windows) {
  const std::int64_t available = window_count(split.tokens(), window.sequence);
  require(available > 0, "a split of {} tokens is too short for a window of {} tokens",
          split.tokens(), window.sequence);
  return windows > 0 ? std::min(windows, available) : available;
}

}  // namespace

std::int64_t tokens_to_evaluate(const Split& split, const Window& window, std::int64_t windows) {
  const std::int64_t end = end_of(split, window, windows);
  PackedDocuments documents;
  for (std::int64_t i = 0; i < end; ++i) documents.add(split, window, i);
  if (documents.predicted_tokens > 0) return documents.predicted_tokens;
  throw AgreedUsageError(fmt::format(
      "the {} windows to evaluate predict no token, since each of their documents has only one: "
      "raise eval.windows, or leave data.document_mask at false",
      end));
}

Evaluation evaluate(Job& job, const Split& split, std::int64_t windows) {
  const std::int64_t end = end_of(split, job.window(), windows);
  const std::int64_t tokens = tokens_to_evaluate(split, job.window(), windows);
  const std::int64_t samples = job.plan.micro_batches * job.plan.policy.shape.samples;
  const int data_ranks = job.plan.mesh.data;
  double sum = 0;
  std::optional<StepTiming> last;  // read one window later, so that no rank waits for its own
  for (std::int64_t begin = 0; begin < end; begin += samples * data_ranks) {
    const std::int64_t own = begin + job.groups.at.data * samples;
    job.set_batch(run_collectively(
        job.world(), [&] { return load_windows(split, job.window(), own, end, samples); }));
    StepTiming timing = job.run_evaluation();
    if (job.groups.at.tensor == 0) sum += job.stage.loss_sum();
    if (last) last->set_device_times();
    last = std::move(timing);
  }
  if (last) last->set_device_times();
  return {sum_over(job.world(), sum) / static_cast<double>(tokens), tokens};
}

}  // namespace masformer
