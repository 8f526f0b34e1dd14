#include "launch/training/start_page.h"

#include <fmt/format.h>

#include "launch/plan/describe.h"
#include "launch/training/rank_speed.h"

namespace masformer {
namespace {

std::string describe_transport(const ProcessGroups& groups) {
  if (groups.world->size() == 1 || !groups.transport) return "";
  return fmt::format("transport {}\n", description_of(*groups.transport));
}

std::string describe_device(Job& job) {
  const DType dtype = job.plan.policy.dtype;
  if (const DeviceStream* const device = job.stream.device_stream()) {
    return fmt::format(
        "device    {} on rank 0; {} peak of all ranks {:.0f} TFLOP/s, by data sheet\n{}",
        device->name(), name_of(dtype), job.peak_flops / 1e12, describe_transport(job.groups));
  }
  return fmt::format("threads   {} per rank; fp32 peak of all ranks {:.0f} GFLOP/s, measured\n{}",
                     job.stream.threads(), job.peak_flops / 1e9,
                     describe(measure_matmul_speed(job.stream, job.world()), dtype));
}

}  // namespace

std::string start_page(Job& job, const Options& options, const TrainingData& data) {
  return fmt::format(
      "{}data      {}: {} tokens to train on, {} held out; {} windows per epoch\n{}output    {}: "
      "metrics.jsonl, checkpoints/\n",
      describe(job.plan), options.data.path, data.train().tokens(), data.held_out().tokens(),
      data.loader().windows(), describe_device(job), options.run.dir);
}

}  // namespace masformer
