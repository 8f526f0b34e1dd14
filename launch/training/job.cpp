#include "launch/training/job.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <omp.h>

#include "launch/plan/host_memory.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/ops/linear.h"
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

Device device_of(const RuntimeOptions& runtime) {
  return runtime.device == name_of(Device::cuda) ? Device::cuda : Device::cpu;
}

// The index of this rank's device among those that it is shown: the first of those that the fewest
// ranks before it have. Slurm may show each rank, or the ranks of each socket, others. Collective.
int choose_device(Communicator& world, Device device) {
  const std::vector<std::string> shown =
      run_collectively(world, [&] { return visible_devices(device); });
  std::map<std::string, int> ranks_on;  // by host and bus
  int chosen = 0;
  const auto all = all_gather_json(world, {host_name(), shown});
  for (int rank = 0; rank <= world.rank(); ++rank) {
    const nlohmann::json& place = all[static_cast<std::size_t>(rank)];
    const auto ids = place[1].get<std::vector<std::string>>();
    if (ids.empty()) continue;
    const auto ranks = [&](const std::string& id) -> int& {
      return ranks_on[id + " of " + place[0].get<std::string>()];
    };
    const auto least = std::ranges::min_element(ids, {}, ranks);
    ++ranks(*least);
    chosen = static_cast<int>(least - ids.begin());
  }
  return chosen;
}

Stream make_stream(const MpiSession& session, const RuntimeOptions& runtime, DType dtype) {
  const std::unique_ptr<Communicator> world = session.world();
  const Device device = device_of(runtime);
  const int index = choose_device(*world, device);
  return run_collectively(*world, [&] {
    Stream stream(device, choose_threads(runtime.threads, session.ranks_on_this_host()), index,
                  runtime.deterministic);
    if (!supports_matmul(stream, dtype)) {
      const bool cpu = stream.device() == Device::cpu;
      refuse("train.dtype={} needs {} has not: take train.dtype=fp32", name_of(dtype),
             cpu ? "AVX-512, which this processor" : "compute capability 8.0, which this device");
    }
    return stream;
  });
}

// What a rank's process holds besides: the program, MPI's buffers, HDF5's. 44 to 52 MiB were seen.
constexpr std::int64_t process_memory = 64 << 20;

// What a rank's libraries take of its device, and of its host, after the check, when code of theirs
// is loaded for its first use. An estimate: docs/gpu.md.
constexpr std::int64_t library_memory = 512 << 20;

// Refuses, on all ranks, what one of their machines or devices has no memory for. Collective.
void check_memory(const RunPlan& run, const Stream& stream, const ProcessGroups& groups,
                  const StageSpec& stage, const StagePlan& plan) {
  Communicator& world = *groups.world;
  // `besides`: what libraries hold.
  const auto check = [&](const std::string& place, std::int64_t planned, std::int64_t besides,
                         std::int64_t available, bool has_activations) {
    std::vector<MemoryDemand> ranks;
    for (const auto& rank : all_gather_json(world, {place, planned + besides, available})) {
      ranks.push_back({rank[0], rank[1], rank[2]});
    }
    const bool recomputable = has_activations && plan.purpose == Purpose::training;
    try {
      throw_collectively(world, memory_shortage(ranks, place, recomputable));
    } catch (const AgreedUsageError& shortage) {
      throw AgreedUsageError(
          fmt::format("{}\n{}          {} MiB of it a rank are for libraries", shortage.what(),
                      has_activations ? describe_memory(run, plan.purpose) : "", besides >> 20));
    }
  };
  std::int64_t on_host = plan_memory(stage, plan).total(), besides = process_memory;
  if (const DeviceStream* const device = stream.device_stream()) {
    check(fmt::format("{} of {}", device->name(), host_name()), on_host, library_memory,
          device->available_memory(), true);
    on_host = plan_host_memory(stage, plan, groups.staged).total();
    besides += library_memory;
  }
  check(host_name(), on_host, besides, available_host_memory(), stream.device_stream() == nullptr);
}

// NCCL lets ranks share a device, or have parts of one, only where it is asked to, and of late:
// then it has to be named.
Transport choose_transport(Communicator& world, const Stream& stream, const std::string& wanted) {
  if (wanted != "auto") return wanted == "nccl" ? Transport::nccl : Transport::mpi;
  const auto places =
      world.all_gather(fmt::format("{} of {}", stream.device_stream()->bus_id(), host_name()));
  const bool shared = std::set(places.begin(), places.end()).size() < places.size();
  return shared ? Transport::mpi : Transport::nccl;
}

ProcessGroups make_groups(const MpiSession& session, const Mesh& mesh, const Stream& stream,
                          const RuntimeOptions& runtime) {
  auto world = session.world();
  if (stream.device() == Device::cpu) return make_process_groups(std::move(world), mesh);
  const Transport transport = choose_transport(*world, stream, runtime.transport);
  return make_process_groups(std::move(world), mesh, {&stream, transport});
}

}  // namespace

Job::Job(const MpiSession& session, RunPlan plan_, Purpose purpose, const RuntimeOptions& runtime)
    : plan(std::move(plan_)),
      stream(make_stream(session, runtime, plan.policy.dtype)),
      groups(make_groups(session, plan.mesh, stream, runtime)),
      stage(make_stage(purpose)),
      peak_flops(sum_over(world(), peak_of_rank(session.ranks_on_this_host()))) {}

Stage Job::make_stage(Purpose purpose) {
  StageSpec description = plan.describe_stage(groups.at);
  StagePlan stage_plan = plan.plan_stage(description, purpose);
  check_memory(plan, stream, groups, description, stage_plan);
  return run_collectively(*groups.world, [&] {
    return Stage(std::move(description), std::move(stage_plan), stream, groups);
  });
}

double Job::peak_of_rank(int ranks_on_this_host) const {
  if (const DeviceStream* const device = stream.device_stream()) {
    return device->peak_flops(plan.policy.dtype);
  }
  constexpr double seconds = 0.05;
  // Ranks that share cores share what these can do.
  const double wanted = static_cast<double>(stream.threads()) * ranks_on_this_host;
  const double share = std::min(1.0, cores() / wanted);
  return share * measure_peak_flops(1, seconds) * stream.threads();
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
  return execute(stream, plan.training, *groups.pipe, stage);
}

StepTiming Job::run_evaluation() {
  stage.begin_evaluation();
  return execute(stream, plan.evaluation, *groups.pipe, stage);
}

}  // namespace masformer
