#include "launch/output/metrics.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

// The step that a line tells of; none where it is not whole.
std::optional<std::uint64_t> step_of(const std::string& line) {
  const auto object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("step")) return std::nullopt;
  const auto& step = object["step"];
  if (!step.is_number_unsigned()) return std::nullopt;
  return step.get<std::uint64_t>();
}

// Rewrites the file with one line a step, up to `last_step`; a crash leaves the old file or the
// new.
void cut(const fs::path& path, std::int64_t last_step) {
  std::ifstream old(path);
  if (!old) return;
  const fs::path temporary = path.string() + ".cut";
  std::ofstream kept(temporary, std::ios::trunc);
  std::uint64_t previous = 0;
  for (std::string line; std::getline(old, line);) {
    const auto step = step_of(line);
    if (!step || *step <= previous || *step > static_cast<std::uint64_t>(last_step)) continue;
    kept << line << '\n';
    previous = *step;
  }
  kept.close();
  require(kept.good(), "{} can't be written: {}", temporary.string(), std::strerror(errno));
  io::File(temporary, O_RDONLY).sync();
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) io::fail_for_errno("replace", path, error.value());
}

}  // namespace

void MetricsWriter::sync() const {
  io::File(path_, O_RDONLY).sync();
}

namespace {

nlohmann::ordered_json by_axis(const SentByAxis& sent) {
  nlohmann::ordered_json axes;
  for (const Axis axis : all_axes) axes[name_of(axis)] = sent[axis].total();
  return axes;
}

// Without what sent nothing.
nlohmann::ordered_json by_operation(const SentByAxis& sent) {
  auto axes = nlohmann::ordered_json::object();
  for (const Axis axis : all_axes) {
    for (std::size_t i = 0; i < operation_names.size(); ++i) {
      const std::int64_t bytes = sent[axis][static_cast<Operation>(i)];
      if (bytes > 0) axes[name_of(axis)][operation_names[i]] = bytes;
    }
  }
  return axes;
}

}  // namespace

MetricsWriter::MetricsWriter(fs::path path, std::int64_t last_step) : path_(std::move(path)) {
  cut(path_, last_step);
  stream_.open(path_, std::ios::app);
  require(stream_.good(), "{} can't be written: {}", path_.string(), std::strerror(errno));
  io::sync_folder(path_.parent_path());
}

void MetricsWriter::write(const StepMetrics& m) {
  nlohmann::ordered_json line = {{"step", m.step},
                                 {"loss", m.loss},
                                 {"grad_norm", m.grad_norm},
                                 {"lr", m.lr},
                                 {"tokens", m.tokens},
                                 {"step_seconds", m.step_seconds},
                                 {"tokens_per_second", m.tokens_per_second},
                                 {"model_flops_per_second", m.model_flops_per_second},
                                 {"mfu", m.mfu},
                                 {"mfu_dense", m.mfu_dense},
                                 {"sent_bytes", by_axis(m.sent)},
                                 {"sent_bytes_by_operation", by_operation(m.sent)},
                                 {"peak_memory_bytes", m.peak_memory_bytes},
                                 {"bubble", m.bubble}};
  if (m.eval_loss) line["eval_loss"] = *m.eval_loss;
  stream_ << line.dump() << std::endl;
  require(stream_.good(), "{} can't be written: {}", path_.string(), std::strerror(errno));
}

}  // namespace masformer
