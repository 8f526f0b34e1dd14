#include "launch/job.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>
#include <omp.h>

#include "launch/collectively.h"
#include "launch/host_memory.h"
#include "runtime/peak.h"

namespace masformer {
namespace {

int cores() {
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

int choose_threads(std::int64_t wanted, int ranks_on_this_host) {
  if (wanted > 0) return static_cast<int>(wanted);
  if (const char* const openmp = std::getenv("OMP_NUM_THREADS")) {
    return std::max(std::atoi(openmp), 1);
  }
  // Binding may have left this rank fewer cores than its share.
  return std::min(omp_get_num_procs(), std::max(cores() / ranks_on_this_host, 1));
}

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

// Refuses, on all ranks, what one of their machines has no memory for. Collective.
void check_host_memory(Communicator& world, std::int64_t planned) {
  // What a rank's process holds besides: the program, MPI's buffers, HDF5's. 44 to 52 MiB were
  // seen.
  constexpr std::int64_t process = 64 << 20;
  const std::string host = host_name();
  const auto own = nlohmann::json{host, planned + process, available_host_memory()}.dump();
  std::vector<MemoryDemand> ranks;
  for (const std::string& text : world.all_gather(own)) {
    const auto rank = nlohmann::json::parse(text);
    ranks.push_back({rank[0], rank[1], rank[2]});
  }
  agree(world, memory_shortage(ranks, host));
}

}  // namespace

Job::Job(const MpiSession& session, RunPlan plan_, Purpose purpose, std::int64_t threads)
    : plan(std::move(plan_)),
      groups(make_communicators(session.world(), plan.mesh)),
      stream(Device::cpu, choose_threads(threads, session.ranks_on_this_host())),
      stage(make_stage(purpose)),
      peak_flops(measure_peak(session.ranks_on_this_host())) {}

Stage Job::make_stage(Purpose purpose) {
  StageDescription description = plan.describe_stage(groups.at);
  StagePlan stage_plan = plan.plan_stage(description, groups.at, purpose);
  check_host_memory(*groups.world, plan_memory(description, stage_plan).total());
  return collectively(*groups.world, [&] {
    return Stage(std::move(description), std::move(stage_plan), stream, groups);
  });
}

double Job::measure_peak(int ranks_on_this_host) {
  constexpr double seconds = 0.05;
  // Ranks that share cores share what these can do.
  const double wanted = static_cast<double>(stream.threads()) * ranks_on_this_host;
  const double share = std::min(1.0, cores() / wanted);
  return sum_over(world(), share * measure_peak_flops(1, seconds) * stream.threads());
}

void Job::feed(const Batch& batch) {
  const std::int64_t tokens = plan.policy.shape.tokens();
  for (int i = 0; i < plan.micro_batches; ++i) {
    const std::int64_t begin = i * tokens;
    stage.set_micro_batch(i, batch.tokens.data() + begin, batch.labels.data() + begin,
                          batch.positions.data() + begin);
  }
}

StepTiming Job::run_training(std::int64_t predicted_tokens) {
  stage.begin_training(predicted_tokens);
  return execute(plan.training, *groups.pipe, stage);
}

StepTiming Job::run_evaluation() {
  stage.begin_evaluation();
  return execute(plan.evaluation, *groups.pipe, stage);
}

}  // namespace masformer
