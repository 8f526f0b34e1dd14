#include "launch/training/checkpointer.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "launch/training/resume.h"
#include "model/state/model_state.h"
#include "parallel/comm/collective_errors.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

Checkpointer::Checkpointer(Job& job, RunOutput& output, const Options& options,
                           const OptionTable& table, const std::string& data_digest)
    : job_(job), output_(output), options_(options), table_(table), data_digest_(data_digest) {}

bool Checkpointer::is_due(std::int64_t step) const {
  const std::int64_t every = options_.checkpoint.every;
  return every > 0 && step % every == 0;
}

void Checkpointer::save(std::int64_t step) {
  if (saved_step_ == step) return;
  const auto begin = std::chrono::steady_clock::now();
  run_collectively(job_.world(), [&] { check_finite(step); });
  // Sync first, so that metrics.jsonl has every step of a checkpoint, even after a power loss.
  output_.sync();
  if (job_.first()) prune();  // a killed run may have left more checkpoints than checkpoint.keep
  write_checkpoint(job_.world(), checkpoint_path(options_.run.dir, step),
                   checkpoint_attributes(table_, job_, step, data_digest_),
                   HostPieces(job_.stream, training_pieces(job_.stage.parameters())).pieces());
  saved_step_ = step;
  if (!job_.first()) return;
  record(step, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  prune();
}

void Checkpointer::record(std::int64_t step, double seconds) {
  const std::filesystem::path path = checkpoint_path(options_.run.dir, step);
  std::uintmax_t bytes = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator file(path, error), end; !error && file != end;
       file.increment(error)) {
    std::error_code unknown;
    const std::uintmax_t size = file->file_size(unknown);
    if (!unknown) bytes += size;
  }
  output_.record(EventKind::save, step,
                 {{"path", path.string()}, {"seconds", seconds}, {"bytes", bytes}});
}

void Checkpointer::check_finite(std::int64_t step) const {
  const ParameterSet& parameters = job_.stage.parameters();
  const Tensor sum = parameters.squared_norm();  // free after the update
  for (const Parameter& parameter : parameters) {
    fill_zero(job_.stream, sum);
    add_sum_of_squares(job_.stream, {parameter.master}, sum);
    if (std::isfinite(scalar(job_.stream, sum))) continue;
    fail(
        "{} is not finite after step {}, so no checkpoint was saved; resume from an older one "
        "with a lower train.lr",
        parameter.spec.tensors.front().name, step);
  }
}

void Checkpointer::prune() {
  try {
    prune_checkpoints(options_.run.dir, options_.checkpoint.keep);
  } catch (const std::exception& error) {
    // Failing to remove an old checkpoint does not end a run.
    output_.warn(fmt::format("old checkpoints were not removed: {}", error.what()));
  }
}

void Checkpointer::dump_gradients(std::int64_t step) {
  const std::filesystem::path folder = std::filesystem::path(options_.run.dir) / "gradients";
  on_first_rank(job_.world(), [&] { std::filesystem::create_directories(folder); });
  nlohmann::json attributes = checkpoint_attributes(table_, job_, step, data_digest_);
  attributes["kind"] = "gradients";
  write_checkpoint(job_.world(), folder / fmt::format("step-{:08}", step), attributes,
                   HostPieces(job_.stream, gradient_pieces(job_.stage.parameters())).pieces());
}

}  // namespace masformer
