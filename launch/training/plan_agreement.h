// Makes the inputs of a plan the same on all ranks, and checks that ranks agree before they
// exchange tensors.
#pragma once

#include <filesystem>
#include <optional>

#include <nlohmann/json.hpp>

#include "data/token_store.h"
#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"
#include "launch/plan/run_plan.h"
#include "parallel/checkpoint/manifest.h"
#include "parallel/comm/communicator.h"

namespace masformer {

// The layout in a checkpoint's attributes; none if they have none. Checkpoints of versions that did
// not record the partition were written with what parallel.partition said, where auto meant even.
// Those that did not record how full layers were shared did what parallel.context_full said. Throws
// an exception for attributes of another form.
std::optional<RecordedLayout> recorded_layout(const nlohmann::json& attributes);

// The memory of the hosts, each divided by its ranks, of which the smallest counts, and the
// layout in the checkpoint that checkpoint.resume leads to. The memory of devices is not known
// yet; there only plan.memory_gib limits a plan. Collective.
PlanInputs agree_on_plan_inputs(Communicator& world, const Options& options);

// Throws AgreedUsageError with what differs unless the stores of all ranks have as many tokens and
// documents, and the same vocabulary. Collective.
void require_same_store(Communicator& world, const TokenStore& store);

// Throws AgreedUsageError unless all ranks have read the same manifest. Collective.
void require_same_checkpoint(Communicator& world, const Manifest& manifest);

// Throws AgreedUsageError unless all ranks see what rank 0 writes to the folder. Collective.
void require_shared_folder(Communicator& world, const std::filesystem::path& folder);

// Throws AgreedUsageError with what differs unless the plans of all ranks have the same model,
// partition, recomputation, order of tokens, exchange and orders of actions. The same options lead
// to another plan in another build, or where a processor rounds another way. Collective.
void require_same_plan(Communicator& world, const RunPlan& plan);

}  // namespace masformer
