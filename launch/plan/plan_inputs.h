// The inputs of a plan other than the options: the machine's memory, and how the run was divided
// before.
// The same on all ranks, so that all make the same plan.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/cost/layer_times.h"
#include "parallel/context/context_order.h"

namespace masformer {

// How a run that is resumed was divided.
struct RecordedLayout {
  std::string mesh;                    // Mesh::to_string()
  std::vector<int> counts{};           // blocks of each part
  std::string context_order{};         // SequenceSharding::to_string(); "" if it is not recorded
  std::string context_full{};          // the name of a ContextFull; "" if it is not recorded
  std::vector<std::string> actions{};  // [stage] action_text() of an order that was searched
  std::map<std::string, std::string> options{};  // all of the run, by name
};

struct PlanInputs {
  static constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

  // Bytes that each rank may plan if all take as much, and that all ranks may plan together; 0 if
  // they don't share one host's memory. plan.memory_gib, if it is set, counts instead.
  std::int64_t rank_memory = unlimited, host_memory = 0;
  // How the checkpoint to resume from was divided. Kept if the layout is the same.
  std::optional<RecordedLayout> recorded{};
  // Times of layers; null: estimated from the figures of runtime.device.
  const LayerTimes* times = nullptr;
  // Figures of the device to plan for; null: those of runtime.device are taken.
  const DeviceFigures* figures = nullptr;
  // Whether the search for a partition (balance.h) does a small part of the work.
  bool searches_briefly = false;
  // Whether a refusal names a layout that would do; looking for it takes a few plans.
  bool names_remedy = true;
  // The orders of tokens that earlier plans chose, to take from and add to; null: none are kept.
  ShardingCache* shardings = nullptr;
};

}  // namespace masformer
