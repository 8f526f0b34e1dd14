#include "launch/training/start_page.h"

#include <sstream>

#include <fmt/format.h>

#include "launch/plan/describe.h"
#include "launch/training/device_choice.h"
#include "launch/training/rank_speed.h"

namespace masformer {
namespace {

std::string describe_transport(const ProcessGroups& groups) {
  if (groups.world->size() == 1 || !groups.transport) return "";
  return fmt::format("transport {}\n", description_of(*groups.transport));
}

std::string describe_machine(Job& job, const StartFacts& facts) {
  const DType dtype = job.plan.policy.dtype;
  if (const DeviceStream* const device = job.stream.device_stream()) {
    return fmt::format(
        "device    {} on rank 0; {} peak of all ranks {:.0f} TFLOP/s, by data sheet\n{}",
        device->name(), name_of(dtype), job.peak_flops / 1e12, describe_transport(job.groups));
  }
  return fmt::format(
      "threads   {} per rank ({}); {} peak of all ranks {:.0f} GFLOP/s, measured\n{}",
      job.stream.threads(),
      source_of_threads(facts.options.runtime.threads, facts.ranks_on_this_host), name_of(dtype),
      job.peak_flops / 1e9, describe(measure_matmul_speed(job.stream, job.world()), dtype));
}

std::string describe_data(const std::string& path, const TrainingData& data) {
  return fmt::format("data      {}: {} tokens to train on, {} held out; {} windows per epoch\n",
                     path, data.train().tokens(), data.held_out().tokens(),
                     data.loader().windows());
}

}  // namespace

std::string wrapped(const std::string& text, std::size_t columns) {
  constexpr std::size_t indent = 10;
  std::string result, line;
  std::istringstream lines(text);
  while (std::getline(lines, line)) {
    while (line.size() > columns) {
      const std::size_t space = line.rfind(' ', columns);
      if (space == std::string::npos || space <= indent) break;
      result += line.substr(0, space) + "\n";
      line = std::string(indent, ' ') + line.substr(space + 1);
    }
    result += line + "\n";
  }
  return result;
}

std::string start_page(Job& job, const StartFacts& facts) {
  constexpr int memory_rows = 4;
  const Options& options = facts.options;
  const std::string chosen =
      (facts.layout_origin.empty() ? "" : fmt::format("plan      {}\n", facts.layout_origin)) +
      describe_choices(job.plan, options);
  return wrapped(fmt::format(
      "{}{}{}{}\n{}\n{}output    {}: metrics.jsonl, checkpoints/{}\n", describe_model(job.plan),
      describe_data(options.data.path, facts.data), chosen.empty() ? "" : "\n", chosen,
      describe_memory(job.plan, Purpose::training, memory_rows), describe_machine(job, facts),
      options.run.dir, options.log.tensorboard ? ", tensorboard/" : ""));
}

}  // namespace masformer
