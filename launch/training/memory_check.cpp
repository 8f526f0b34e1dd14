#include "launch/training/memory_check.h"

#include <string>
#include <vector>

#include "launch/plan/describe.h"
#include "launch/plan/host_memory.h"
#include "launch/training/device_choice.h"
#include "launch/training/slow_ranks.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

// Memory that a rank's libraries allocate after this check, on the device and again on the host,
// when their code is loaded on first use. An estimate (docs/gpu.md).
constexpr std::int64_t library_memory = 512 << 20;

// The memory that one rank needs in one place: on a host or on a device.
struct Demand {
  std::string place;
  std::int64_t planned = 0;
  std::int64_t reserved = 0;  // for libraries
  std::int64_t available = 0;
  bool has_activations = false;
};

void check(const RunPlan& run, Purpose purpose, Communicator& world, const Demand& demand) {
  const std::int64_t total = demand.planned + demand.reserved;
  std::vector<MemoryDemand> ranks;
  for (const auto& rank : all_gather_json(world, {demand.place, total, demand.available})) {
    const int number = static_cast<int>(ranks.size());
    ranks.push_back({rank[0], rank[1], rank[2], run.mesh.coordinate(number).pipe});
  }
  const bool recomputable = demand.has_activations && purpose == Purpose::training;
  try {
    throw_collectively(world, memory_shortage(ranks, demand.place, recomputable));
  } catch (const AgreedUsageError& shortage) {
    throw AgreedUsageError(fmt::format(
        "{}\n{}          including {} MiB per rank reserved for libraries", shortage.what(),
        demand.has_activations ? describe_memory(run, purpose) : "", demand.reserved >> 20));
  }
}

}  // namespace

void check_memory(const RunPlan& run, const Stream& stream, const ProcessGroups& groups,
                  const StageSpec& stage, const StagePlan& plan) {
  Demand host{.place = host_name(),
              .planned = plan_memory(stage, plan).total(),
              .reserved = process_memory,
              .available = available_host_memory(),
              .has_activations = true};
  if (const DeviceStream* const device = stream.device_stream()) {
    check(run, plan.purpose, *groups.world,
          {.place = fmt::format("{} of {}", device->name(), host.place),
           .planned = host.planned,
           .reserved = library_memory,
           .available = device->available_memory(),
           .has_activations = true});
    host.planned = plan_host_memory(stage, plan, groups.staged()).total();
    host.reserved += library_memory;
    host.has_activations = false;
  }
  check(run, plan.purpose, *groups.world, host);
}

std::string allocation_failure(const RunPlan& run, Purpose purpose, const ProcessGroups& groups,
                               std::int64_t bytes, const std::string& cause) {
  return fmt::format(
      "{} can't allocate the {:.2f} GiB of its plan: {}; {:.2f} GiB of host memory are available: "
      "check the limits of the process (ulimit -v), and what else runs there\n{}",
      name_of_rank(groups.world->rank(), host_name(), groups.at), double(bytes) / (1 << 30), cause,
      double(available_host_memory()) / (1 << 30), describe_memory(run, purpose));
}

}  // namespace masformer
