#include "launch/training/job.h"

#include <utility>

#include "launch/plan/host_memory.h"
#include "launch/training/device_choice.h"
#include "launch/training/memory_check.h"
#include "launch/training/rank_speed.h"
#include "launch/training/slow_ranks.h"
#include "parallel/comm/collective_errors.h"

namespace masformer {

Job::Job(const MpiSession& session, RunPlan plan_, Purpose purpose, const RuntimeOptions& runtime,
         Recorder* recorder)
    : plan(std::move(plan_)),
      stream(open_stream(session, runtime, plan.policy.dtype)),
      groups(open_groups(session, plan, stream, runtime, recorder)),
      stage(make_stage(purpose)),
      rank_peak_flops(peak_of_rank(stream, plan.policy.dtype, session.ranks_on_this_host())),
      peak_flops(sum_over(world(), rank_peak_flops)),
      recorder_(recorder) {
  poll_while_computing();
}

void Job::poll_while_computing() {
  if (groups.context->size() == 1 || !groups.context->traits().needs_polling) return;
  stream.set_poll([this] { groups.context->progress(); });
}

Stage Job::make_stage(Purpose purpose) {
  StageSpec spec = plan.describe_stage(groups.at);
  StagePlan stage_plan = plan.plan_stage(spec, purpose);
  check_memory(plan, stream, groups, spec, stage_plan);
  const std::int64_t bytes = plan_memory(spec, stage_plan).total();
  return run_collectively(*groups.world, [&] {
    try {
      return Stage(std::move(spec), std::move(stage_plan), stream, groups);
    } catch (const std::exception& error) {
      throw Error(allocation_failure(plan, purpose, groups, bytes, error.what()));
    }
  });
}

void Job::drain(const std::exception& cause) {
  try {
    stage.sync().drain();
    stream.synchronize();
  } catch (const Error& another) {
    fail("{}; then {}", cause.what(), another.what());
  }
  world().barrier();
}

void Job::fail_out_of_memory() const {
  throw Error(out_of_memory(place_of_rank(host_name(), groups.at)));
}

Window Job::window() const {
  const SequenceSharding& sharding = stage.spec().sharding;
  Window window{sharding.sequence(), {}, plan.policy.document_mask};
  for (const Segment& segment : sharding.segments(groups.at.context)) {
    window.parts.push_back(segment.positions);
  }
  return window;
}

void Job::set_batch(const Batch& batch) {
  const MicroBatchShape& shape = stage.spec().shape;
  for (int i = 0; i < plan.micro_batches; ++i) {
    const std::int64_t begin = i * shape.tokens();
    MicroBatchSource source{batch.tokens.data() + begin, batch.labels.data() + begin,
                            batch.positions.data() + begin};
    if (plan.policy.document_mask) {
      const auto starts = batch.document_starts.begin() + i * shape.samples;
      source.first_keys = batch.first_keys.data() + begin;
      source.document_starts = {starts, starts + shape.samples};
    }
    stage.set_micro_batch(i, source);
  }
}

StepTiming Job::run_training(std::int64_t step, std::int64_t predicted_tokens) {
  if (recorder_ != nullptr) recorder_->set_step(step);
  stage.begin_training(predicted_tokens);
  return execute(stream, plan.training, *groups.pipe, stage, recorder_);
}

StepTiming Job::run_evaluation() {
  if (recorder_ != nullptr) recorder_->set_step(0);
  stage.begin_evaluation();
  return execute(stream, plan.evaluation, *groups.pipe, stage, recorder_);
}

}  // namespace masformer
