// masformer inspect
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/options/option_table.h"
#include "launch/output/standard_streams.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/compare.h"
#include "parallel/comm/json_text.h"
#include "parallel/comm/self_communicator.h"
#include "runtime/counted.h"

namespace masformer {
namespace {

struct InspectOptions {
  std::vector<std::string> checkpoint;
  std::string compare;
  bool json = false, verify = false;
};

OptionTable describe(InspectOptions& options) {
  OptionTable table;
  table.add_positional(
      "CHECKPOINT", options.checkpoint,
      {.help = "Folder of a checkpoint, such as RUN_DIR/checkpoints/step-00000100."});
  table.add_flag("json", options.json, "Print one JSON object.");
  table.add_flag("verify", options.verify,
                 "Read every file and check its digest. Exit status 1 if one differs.");
  table.add("compare", options.compare,
            {.value = "OTHER",
             .help = "Another checkpoint. Prints, for each tensor, the norm of the difference "
                     "divided by the norm of OTHER's tensor."});
  return table;
}

nlohmann::json summary(const Manifest& manifest) {
  nlohmann::json tensors = nlohmann::json::object();
  for (const auto& [name, tensor] : manifest.tensors) tensors[name] = tensor.shape;
  nlohmann::json files = nlohmann::json::object();
  for (const auto& [name, file] : manifest.files) {
    files[name] = {{"bytes", file.bytes}, {"xxh3_128", file.digest}};
  }
  return {{"attributes", manifest.attributes}, {"tensors", tensors}, {"files", files}};
}

void print_summary(const std::string& path, const Manifest& manifest) {
  std::int64_t bytes = 0;
  std::int64_t elements = 0;
  for (const auto& [name, file] : manifest.files) bytes += file.bytes;
  for (const auto& [name, tensor] : manifest.tensors) {
    print_result("  {:<60} {:>20} in {}\n", name, Shape(tensor.shape).to_string(),
                 counted(std::ssize(tensor.pieces), "piece"));
    elements += tensor.elements();
  }
  print_result("{}: {}, {} elements, {}, {:.1f} MiB\n", path,
               counted(std::ssize(manifest.tensors), "tensor"), elements,
               counted(std::ssize(manifest.files), "file"), static_cast<double>(bytes) / (1 << 20));
  for (const char* const key :
       {"kind", "step", "tokens", "mesh", "partition", "context_order", "context_full", "model"}) {
    if (!manifest.attributes.contains(key)) continue;
    const auto& value = manifest.attributes[key];
    print_result("  {:<13} {}\n", key, json_words(value));
  }
  // The order that schedule auto found: a line for each stage.
  for (const auto& stage : manifest.attributes.value("actions", nlohmann::json::array())) {
    print_result("  {:<13} {}\n", "actions", json_words(stage));
  }
}

// Prints the damaged files. Returns true if there are none.
bool verify(const CheckpointReader& checkpoint) {
  SelfCommunicator self;
  const std::string path = checkpoint.directory().string();
  const auto damaged = damaged_files(self, path, checkpoint.manifest());
  for (const std::string& file : damaged) print_message("{}/{}\n", path, file);
  return damaged.empty();
}

void print_verified(const CheckpointReader& checkpoint) {
  print_message("{}: {} verified\n", checkpoint.directory().string(),
                counted(std::ssize(checkpoint.manifest().files), "file"));
}

// Checks the digests of both checkpoints before HDF5 parses any of their files. With --verify, also
// prints the damaged files and the number of verified ones.
ExitCode compare_with(CheckpointReader& checkpoint, const InspectOptions& options) {
  CheckpointReader other(options.compare);
  for (const CheckpointReader* const each : {&checkpoint, &other}) {
    if (!options.verify) {
      SelfCommunicator self;
      require_undamaged(self, each->directory(), each->manifest());
    } else if (!verify(*each)) {
      return ExitCode::failure;
    }
  }
  const std::map<std::string, double> differences = compare(checkpoint, other);
  double worst = 0;
  std::int64_t same = 0;
  for (const auto& [name, difference] : differences) {
    worst = std::max(worst, difference);
    same += difference == 0 ? 1 : 0;
  }
  if (options.json) {
    print_result("{}\n", json_line({{"tensors", differences}, {"worst", worst}}));
  } else {
    for (const auto& [name, difference] : differences) {
      print_result("  {:<60} {:.3e}\n", name, difference);
    }
    print_result("{} of {} tensors are identical; largest difference {:.3e}\n", same,
                 differences.size(), worst);
  }
  if (!options.verify) return ExitCode::done;
  for (const CheckpointReader* const each : {&checkpoint, &other}) print_verified(*each);
  return ExitCode::done;
}

}  // namespace

ExitCode inspect_command(const Arguments& arguments) {
  InspectOptions options;
  OptionTable table = describe(options);
  if (asks_for_help(arguments)) {
    print_result("{}\n{}", usage_of("inspect"), table.help());
    return ExitCode::done;
  }
  table.parse(arguments);
  if (options.checkpoint.size() != 1)
    refuse("inspect takes the folder of one checkpoint, but {} are given",
           options.checkpoint.size());
  const std::string& path = options.checkpoint[0];
  CheckpointReader checkpoint(path);
  if (!options.compare.empty()) return compare_with(checkpoint, options);
  if (options.verify && !verify(checkpoint)) return ExitCode::failure;
  if (options.json) {
    print_result("{}\n", json_line(summary(checkpoint.manifest())));
  } else {
    print_summary(path, checkpoint.manifest());
  }
  if (options.verify) print_verified(checkpoint);
  return ExitCode::done;
}

}  // namespace masformer
