#include "launch/training/trainer.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "launch/training/evaluation.h"
#include "launch/training/signals.h"
#include "model/cost.h"
#include "model/state/model_state.h"
#include "parallel/comm/collective_errors.h"
#include "runtime/ops/elementwise.h"

namespace masformer {
namespace {

LoaderOptions loader_options(const Options& options, const Job& job) {
  return {.sequence = options.train.sequence,
          .global_batch = options.train.global_batch,
          .shard = job.groups.at.data,
          .shards = job.plan.mesh.data,
          .seed = static_cast<std::uint64_t>(options.train.seed)};
}

// One rank reads the whole store, for all.
std::string digest_on_first_rank(Communicator& world, const TokenStore& store) {
  std::string digest;
  on_first_rank(world, [&] { digest = store.digest(); });
  return world.all_gather(digest)[0];
}

std::int64_t largest(Communicator& world, std::int64_t value) {
  auto number = static_cast<double>(value);
  world.all_reduce(Tensor(&number, {1}, DType::f64, Device::cpu), Reduction::max).wait();
  return static_cast<std::int64_t>(number);
}

}  // namespace

Trainer::Trainer(const MpiSession& session, const Options& options, const OptionTable& table,
                 const TokenStore& store, RunPlan plan)
    : options_(options),
      table_(table),
      job_(session, std::move(plan), Purpose::training, options.runtime),
      train_(store, SplitKind::train, options.data.held_out),
      held_out_(store, SplitKind::held_out, options.data.held_out),
      loader_(run_collectively(job_.world(),
                               [&] { return Loader(train_, loader_options(options, job_)); })),
      data_digest_(digest_on_first_rank(job_.world(), store)),
      loss_(job_.stream),
      squared_norm_(job_.stream) {
  check_held_out();
  prepare_output();
  start_ = start_run(job_, options_, table_, directory_.get(), data_digest_);
  on_first_rank(job_.world(), [&] {
    metrics_ = std::make_unique<MetricsWriter>(directory_->metrics(), start_.step);
    for (const std::string& note : start_.notes) log(note);
  });
  saved_step_ = start_.step;
  prefetcher_ = std::make_unique<Prefetcher>(loader_, start_.step, options_.train.steps);
}

Trainer::~Trainer() = default;

void Trainer::check_held_out() const {
  const std::int64_t sequence = options_.train.sequence;
  if (options_.eval.every == 0 || window_count(held_out_.tokens(), sequence) > 0) return;
  throw AgreedUsageError(fmt::format(
      "eval.every={}, but the held-out documents have {} tokens, too few for train.sequence={}: "
      "raise data.held_out={}, or leave eval.every at 0",
      options_.eval.every, held_out_.tokens(), sequence, options_.data.held_out));
}

namespace {

std::string describe_transport(const ProcessGroups& groups) {
  if (groups.world->size() == 1) return "";
  return groups.staged ? "transport through the host, by MPI\n" : "transport NCCL\n";
}

std::string describe_device(const Job& job) {
  if (const DeviceStream* const queue = job.stream.device_stream()) {
    return fmt::format(
        "device    {} on rank 0; {} peak of all ranks {:.0f} TFLOP/s, by data sheet\n{}",
        queue->name(), name_of(job.plan.policy.dtype), job.peak_flops / 1e12,
        describe_transport(job.groups));
  }
  return fmt::format("threads   {} a rank; fp32 peak of all ranks {:.0f} GFLOP/s, measured\n",
                     job.stream.threads(), job.peak_flops / 1e9);
}

}  // namespace

void Trainer::prepare_output() {
  on_first_rank(job_.world(), [&] {
    directory_ = std::make_unique<RunDirectory>(options_.run.dir);
    fmt::print("{}", describe(job_.plan));
    fmt::print("data      {}: {} tokens to train on, {} held out; {} windows an epoch\n",
               options_.data.path, train_.tokens(), held_out_.tokens(), loader_.windows());
    fmt::print("{}", describe_device(job_));
    fmt::print("output    {}: metrics.jsonl, checkpoints/\n", options_.run.dir);
    std::fflush(stdout);
  });
}

ExitCode Trainer::run() {
  try {
    return train();
  } catch (const AgreedUsageError& failure) {
    drain(failure);
    throw;
  } catch (const AgreedError& failure) {
    drain(failure);
    throw;
  }
}

void Trainer::drain(const std::exception& failure) {
  try {
    job_.stage.sync().drain();
    job_.stream.synchronize();
  } catch (const Error& another) {
    fail("{}; then {}", failure.what(), another.what());
  }
  job_.world().barrier();
}

ExitCode Trainer::train() {
  const std::int64_t last = options_.train.steps;
  if (start_.step >= last) {
    log(start_.step == last
            ? fmt::format("the run is complete: {} of train.steps={} are done", last, last)
            : fmt::format(
                  "nothing to do: the run is at step {}, beyond train.steps={}; raise it to go on",
                  start_.step, last));
    return ExitCode::done;
  }
  job_.stage.sync().start_all_gathers();
  if (job_.first()) {
    console_ =
        std::make_unique<Console>(options_.log.live, options_.log.every, start_.step + 1, last);
  }
  for (std::int64_t number = start_.step + 1; number <= last; ++number) {
    issue(number);
    // On a device, a step's results are read while the next one is under way, unless this one's
    // end has to be reached first.
    const bool late = job_.stream.device_stream() != nullptr;
    const bool awaited = number == last || stop_ || is_evaluated(number) || is_saved(number);
    if (!late || awaited) conclude();
    if (is_saved(number)) save(number);
    if (stop_ && number < last) {
      save(number);
      log(fmt::format("stopped by a signal after step {}; the same command goes on from there",
                      number));
      return ExitCode::interrupted;
    }
  }
  const bool saves = options_.checkpoint.every >= 0;
  if (saves) save(last);
  log(fmt::format("done: {} steps; metrics{} are in {}", last, saves ? " and checkpoints" : "",
                  options_.run.dir));
  return ExitCode::done;
}

bool Trainer::is_evaluated(std::int64_t number) const {
  const std::int64_t every = options_.eval.every;
  return every > 0 && (number % every == 0 || number == options_.train.steps);
}

bool Trainer::is_saved(std::int64_t number) const {
  const std::int64_t every = options_.checkpoint.every;
  return every > 0 && number % every == 0;
}

void Trainer::issue(std::int64_t number) {
  if (!issued_) concluded_ = Clock::now();
  const SentByAxis before = sent_bytes();
  StepTiming timing = forward_backward(number);
  // Before more is made of a step whose loss is no number.
  if (issued_) conclude();
  update(job_.stream, job_.plan.optimizer, number, job_.stage.parameters(), job_.stage.sync());
  // Behind the update, so that a step's time has it in it.
  loss_.start(job_.stage.loss());
  squared_norm_.start(job_.stage.parameters().squared_norm());
  SentByAxis sent = sent_bytes();
  for (const Axis axis : all_axes) sent[axis] -= before[axis];
  issued_ = IssuedStep{number, std::move(timing), sent};
}

StepTiming Trainer::forward_backward(std::int64_t number) {
  job_.feed(prefetcher_->next());
  StepTiming timing = job_.run_training(predicted_tokens());
  job_.stage.sync().finish_reduction();
  if (number == options_.train.dump_gradients_at) dump_gradients(number);
  const Tensor loss = job_.stage.loss();
  if (job_.groups.at.tensor > 0) fill_zero(job_.stream, loss);  // counted once
  job_.world().all_reduce(loss, Reduction::sum).wait();
  sum_squared_norm(job_.stream, job_.stage.parameters(), job_.world());
  return timing;
}

void Trainer::conclude() {
  const IssuedStep step = std::move(*issued_);
  issued_.reset();
  const StepResult result = reduce_results(step);
  const Clock::time_point before = std::exchange(concluded_, Clock::now());
  stop_ |= result.stop;
  if (!std::isfinite(result.loss) || !std::isfinite(result.norm)) {
    throw AgreedError(fmt::format(
        "step {} has loss {} and gradient norm {}: nothing of it was kept; lower train.lr, or "
        "raise train.warmup_steps",
        step.number, result.loss, result.norm));
  }
  // The groups take their memory with the first sums, and give none back.
  if (peak_memory_ == 0) {
    peak_memory_ = largest(job_.world(), job_.stage.memory().total());
  }
  StepMetrics metrics =
      measure(step.number, result, std::chrono::duration<double>(concluded_ - before).count());
  if (is_evaluated(step.number)) {
    metrics.eval_loss = evaluate(job_, held_out_, options_.eval.windows).loss;
  }
  on_first_rank(job_.world(), [&] {
    metrics_->write(metrics);
    console_->step(metrics);
  });
}

std::int64_t Trainer::predicted_tokens() const {
  return job_.plan.global_batch * job_.plan.policy.shape.sequence;
}

Trainer::StepResult Trainer::reduce_results(const IssuedStep& step) {
  StepResult result{.loss = loss_.wait() / static_cast<double>(predicted_tokens()),
                    .norm = std::sqrt(squared_norm_.wait())};
  std::vector<double> sums{stop_requested() ? 1.0 : 0.0, step.timing.waiting_seconds(),
                           step.timing.total_seconds()};
  const std::size_t times = sums.size();
  const auto each_sent = [](auto& sent, const auto& visit) {
    for (const Axis axis : all_axes) {
      for (std::size_t i = 0; i < operation_names.size(); ++i) {
        visit(sent[axis][static_cast<Operation>(i)]);
      }
    }
  };
  each_sent(step.sent, [&](std::int64_t bytes) { sums.push_back(static_cast<double>(bytes)); });
  job_.world()
      .all_reduce(Tensor(sums.data(), {std::ssize(sums)}, DType::f64, Device::cpu), Reduction::sum)
      .wait();
  auto sum = sums.begin() + static_cast<std::ptrdiff_t>(times);
  each_sent(result.sent, [&](std::int64_t& bytes) { bytes = static_cast<std::int64_t>(*sum++); });
  result.stop = sums[0] > 0;
  result.bubble = sums[1] / sums[2];
  return result;
}

StepMetrics Trainer::measure(std::int64_t number, const StepResult& result, double seconds) const {
  const RunPlan& plan = job_.plan;
  const std::int64_t sequence = plan.policy.shape.sequence;
  const auto batch = static_cast<double>(plan.global_batch);
  const double visible = batch * training_flops(plan.model, sequence, PairCount::visible);
  const double dense = batch * training_flops(plan.model, sequence, PairCount::dense);
  return {.step = number,
          .loss = result.loss,
          .grad_norm = result.norm,
          .lr = learning_rate(plan.optimizer, number),
          .tokens = number * plan.global_batch * sequence,
          .step_seconds = seconds,
          .tokens_per_second = batch * static_cast<double>(sequence) / seconds,
          .model_flops_per_second = visible / seconds,
          .mfu = visible / seconds / job_.peak_flops,
          .mfu_dense = dense / seconds / job_.peak_flops,
          .sent = result.sent,
          .peak_memory_bytes = peak_memory_,
          .bubble = plan.mesh.pipe > 1 ? result.bubble : 0};
}

SentByAxis Trainer::sent_bytes() const {
  const ProcessGroups& groups = job_.groups;
  // Sums of gradients count as the data axis's, wherever they go.
  const SentBytes gradients = job_.stage.sync().sent_to_tensor_ranks();
  SentByAxis sent;
  for (const Axis axis : all_axes) sent[axis] = groups.along(axis).sent_bytes();
  sent[Axis::pipe] += groups.embedding->sent_bytes();
  sent[Axis::tensor] -= gradients;
  sent[Axis::data] += gradients;
  return sent;
}

void Trainer::save(std::int64_t number) {
  if (saved_step_ == number) return;
  run_collectively(job_.world(), [&] { check_finite(number); });
  // A checkpoint is never newer than the metrics that lead to it, not even after a power loss.
  on_first_rank(job_.world(), [&] { metrics_->sync(); });
  const std::filesystem::path directory = checkpoint_path(options_.run.dir, number);
  write_checkpoint(job_.world(), directory,
                   checkpoint_attributes(table_, job_, number, data_digest_),
                   HostPieces(job_.stream, training_pieces(job_.stage.parameters())).pieces());
  saved_step_ = number;
  if (job_.first()) prune();
}

void Trainer::check_finite(std::int64_t number) const {
  const ParameterSet& parameters = job_.stage.parameters();
  const Tensor sum = parameters.squared_norm();  // nobody needs the gradients' any more
  for (const Parameter& parameter : parameters) {
    fill_zero(job_.stream, sum);
    add_sum_of_squares(job_.stream, {parameter.master}, sum);
    if (std::isfinite(scalar(job_.stream, sum))) continue;
    fail(
        "after step {} {} is not finite: it was not saved; go on from an older checkpoint with "
        "another train.lr",
        number, parameter.declaration.tensors.front().name);
  }
}

void Trainer::prune() {
  try {
    prune_checkpoints(options_.run.dir, options_.checkpoint.keep);
  } catch (const std::exception& error) {
    // The new checkpoint stands; an old one too many does not end a run.
    log(fmt::format("old checkpoints were not removed: {}", error.what()));
  }
}

void Trainer::dump_gradients(std::int64_t number) {
  const std::filesystem::path folder = std::filesystem::path(options_.run.dir) / "gradients";
  on_first_rank(job_.world(), [&] { std::filesystem::create_directories(folder); });
  nlohmann::json attributes = checkpoint_attributes(table_, job_, number, data_digest_);
  attributes["kind"] = "gradients";
  write_checkpoint(job_.world(), folder / fmt::format("step-{:08}", number), attributes,
                   HostPieces(job_.stream, gradient_pieces(job_.stage.parameters())).pieces());
}

void Trainer::log(const std::string& text) {
  if (!job_.first()) return;
  if (console_) {
    console_->log(text);
  } else {
    fmt::print("{}\n", text);
    std::fflush(stdout);
  }
}

}  // namespace masformer
