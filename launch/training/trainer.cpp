#include "launch/training/trainer.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "launch/training/evaluation.h"
#include "launch/training/run_events.h"
#include "parallel/checkpoint/directory.h"
#include "runtime/counted.h"

namespace masformer {

Trainer::Trainer(const Training& training, std::int64_t done)
    : training_(training),
      done_(done),
      prefetcher_(training.data.loader(), done, training.options.train.steps),
      runner_(training.job),
      collector_(training.job, training.options.run.dir),
      checkpointer_(training.job, training.output, training.options, training.table,
                    training.data.digest()),
      profiler_(training.job, training.output, training.options.train.profile_step) {}

ExitCode Trainer::run() {
  return recording_its_end(training_.output, [&] {
    if (done_ < training_.options.train.steps) return training_.job.run([&] { return train(); });
    report_nothing_to_do();
    return ExitCode::done;
  });
}

void Trainer::report_nothing_to_do() const {
  const std::int64_t steps = training_.options.train.steps;
  training_.output.log(
      done_ == steps
          ? fmt::format("the run is complete: {} of train.steps={} are done", steps, steps)
          : fmt::format("nothing to do: the run is at step {}, beyond train.steps={}; raise it",
                        done_, steps));
}

void Trainer::report_stop(std::int64_t step) const {
  const Options& options = training_.options;
  const bool resumes = options.checkpoint.resume == name_of(ResumeWord::newest);
  training_.output.log(fmt::format(
      "stopped by a signal after step {}; the same command{} continues from {}", step,
      resumes ? "" : fmt::format(" with checkpoint.resume={}", name_of(ResumeWord::newest)),
      checkpoint_path(options.run.dir, step).string()));
  training_.output.summarize({});
}

void Trainer::report_end(std::int64_t step, bool saved) const {
  const std::string& folder = training_.options.run.dir;
  training_.output.log(fmt::format("done: {}; metrics{} are in {}", counted(step, "step"),
                                   saved ? " and checkpoints" : "", folder));
  training_.output.summarize(saved ? checkpoint_path(folder, step) : std::filesystem::path());
}

ExitCode Trainer::train() {
  const std::int64_t last = training_.options.train.steps;
  training_.job.stage.sync().start_all_gathers();
  for (std::int64_t number = done_ + 1; number <= last; ++number) {
    issue(number);
    if (concludes_at_once(number)) conclude();
    if (checkpointer_.is_due(number)) checkpointer_.save(number);
    if (stop_ && number < last) {
      checkpointer_.save(number);
      record_memory(training_.job, training_.planned_memory, training_.output);
      report_stop(number);
      return ExitCode::interrupted;
    }
  }
  const bool saves = checkpointer_.is_due_at_end();
  if (saves) checkpointer_.save(last);
  record_memory(training_.job, training_.planned_memory, training_.output);
  report_end(last, saves);
  return ExitCode::done;
}

void Trainer::issue(std::int64_t number) {
  if (!issued_) collector_.start_clock();
  const Batch batch = prefetcher_.next();
  profiler_.begin(number);
  IssuedStep step =
      runner_.forward_backward(number, batch, training_.data.loader().documents(number - 1));
  if (number == training_.options.train.dump_gradients_at) checkpointer_.dump_gradients(number);
  // Conclude the previous step before this update: if its loss is not finite, conclude() throws,
  // and this update must not happen.
  if (issued_) conclude();
  runner_.update(step);
  profiler_.end();
  issued_ = std::move(step);
}

bool Trainer::concludes_at_once(std::int64_t number) const {
  // A device works on a step while the host reads the results of the one before. Not so on the CPU,
  // or if an evaluation, a checkpoint or the end of the run needs the finished step.
  const bool on_device = training_.job.stream.device_stream() != nullptr;
  return !on_device || number == training_.options.train.steps || stop_ || is_evaluated(number) ||
         checkpointer_.is_due(number);
}

void Trainer::conclude() {
  const IssuedStep step = std::move(*issued_);
  issued_.reset();
  CollectedStep collected = collector_.collect(step, runner_);
  stop_ |= collected.stop_requested;
  if (is_evaluated(step.number)) {
    const auto begin = std::chrono::steady_clock::now();
    const Evaluation evaluation =
        evaluate(training_.job, training_.data.held_out(), training_.options.eval.windows);
    collected.metrics.eval_loss = evaluation.loss;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    training_.output.record(
        EventKind::evaluation, step.number,
        {{"loss", evaluation.loss}, {"tokens", evaluation.tokens}, {"seconds", seconds.count()}});
  }
  training_.output.write(collected.metrics);
  if (step.number == done_ + 1)
    record_memory(training_.job, training_.planned_memory, training_.output);
  if (!collected.note.empty()) training_.output.warn(collected.note);
  profiler_.report(step.number);
}

bool Trainer::is_evaluated(std::int64_t number) const {
  const std::int64_t every = training_.options.eval.every;
  return every > 0 && (number % every == 0 || number == training_.options.train.steps);
}

}  // namespace masformer
