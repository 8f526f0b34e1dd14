#include "launch/training/device_choice.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <omp.h>

#include "launch/plan/threads.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/ops/linear.h"

namespace masformer {

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

int host_cores() {
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

namespace {

ThreadSources thread_sources(int ranks_on_this_host) {
  return {.omp_num_threads = std::getenv("OMP_NUM_THREADS"),
          .usable_cores = omp_get_num_procs(),
          .cores = host_cores(),
          .ranks_on_this_host = ranks_on_this_host};
}

}  // namespace

int threads_of_rank(std::int64_t requested, int ranks_on_this_host) {
  return choose_threads(requested, thread_sources(ranks_on_this_host));
}

std::string source_of_threads(std::int64_t requested, int ranks_on_this_host) {
  return source_of_threads(requested, thread_sources(ranks_on_this_host));
}

namespace {

// Returns the index of this rank's device among those visible to it: the first of those that the
// fewest lower ranks use. Slurm may make different devices visible to each rank or socket, so
// devices are identified by host and bus. Collective.
int choose_device(Communicator& world, Device device) {
  const std::vector<std::string> visible =
      run_collectively(world, [&] { return visible_devices(device); });
  std::map<std::string, int> ranks_on;  // by host and bus
  int chosen = 0;
  const auto all = all_gather_json(world, {host_name(), visible});
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

void check_dtype(const Stream& stream, DType dtype) {
  if (supports_matmul(stream, dtype)) return;
  refuse("train.dtype={} requires {} lacks; use train.dtype=fp32", name_of(dtype),
         stream.device() == Device::cpu ? "AVX-512, which this CPU"
                                        : "compute capability 8.0, which this device");
}

// NCCL moves tensors of CUDA devices only. Not all its versions let several ranks share a device or
// use parts of one (MIG). So if ranks share a device, NCCL is used only if runtime.transport names
// it.
Transport choose_transport(Communicator& world, const Stream& stream,
                           std::optional<Transport> requested) {
  if (requested) return *requested;
  if (stream.device() != Device::cuda) return Transport::mpi;
  const auto places =
      world.all_gather(fmt::format("{} of {}", stream.device_stream()->bus_id(), host_name()));
  const bool shared = std::set(places.begin(), places.end()).size() < places.size();
  return shared ? Transport::mpi : Transport::nccl;
}

}  // namespace

Stream open_stream(const MpiSession& session, const RuntimeOptions& runtime, DType dtype) {
  const std::unique_ptr<Communicator> world = session.world();
  const int index = choose_device(*world, runtime.device);
  return run_collectively(*world, [&] {
    Stream stream(runtime.device, threads_of_rank(runtime.threads, session.ranks_on_this_host()),
                  index, runtime.deterministic);
    check_dtype(stream, dtype);
    return stream;
  });
}

ProcessGroups open_groups(const MpiSession& session, const RunPlan& plan, const Stream& stream,
                          const RuntimeOptions& runtime, Recorder* recorder) {
  auto world = session.world();
  DeviceTransport devices;
  if (stream.device() != Device::cpu) {
    devices = {&stream, choose_transport(*world, stream, runtime.transport)};
  }
  ProcessGroups groups =
      make_process_groups(std::move(world), plan.mesh, devices, links_of(plan.training.placement));
  if (recorder != nullptr) groups.record(*recorder);
  return groups;
}

}  // namespace masformer
