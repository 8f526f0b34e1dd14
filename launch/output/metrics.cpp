#include "launch/output/metrics.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

// Parses the step of a line. Returns nothing if the line is damaged.
std::optional<std::uint64_t> step_of(const std::string& line) {
  const auto object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("step")) return std::nullopt;
  const auto& step = object["step"];
  if (!step.is_number_unsigned() || step == 0) return std::nullopt;
  return step.get<std::uint64_t>();
}

// The lines that a resumed run finds in the file.
struct OldLines {
  std::map<std::uint64_t, std::string> kept;  // by step
  std::int64_t later = 0, repeated = 0, damaged = 0;
  bool in_order = true;
};

// If a step has several lines, keeps the last one: it is from the latest attempt.
OldLines read_lines(std::istream& file, std::uint64_t last_step) {
  OldLines lines;
  std::uint64_t previous = 0;
  for (std::string line; std::getline(file, line);) {
    const auto step = step_of(line);
    if (!step) {
      ++lines.damaged;
    } else if (*step > last_step) {
      ++lines.later;
    } else {
      lines.in_order &= *step >= std::exchange(previous, *step);
      lines.repeated += lines.kept.insert_or_assign(*step, line).second ? 0 : 1;
    }
  }
  return lines;
}

// The steps up to `last_step` that have no line, as in "3, 7-9"; if there are many, only the first
// ones.
std::string missing_steps(const OldLines& lines, std::uint64_t last_step) {
  constexpr std::size_t max_ranges = 8;
  std::vector<std::string> ranges;
  std::uint64_t next = 1;
  const auto add_gap_before = [&](std::uint64_t step) {
    if (step == next + 1) ranges.push_back(fmt::format("{}", next));
    if (step > next + 1) ranges.push_back(fmt::format("{}-{}", next, step - 1));
    next = step + 1;
  };
  for (const auto& [step, line] : lines.kept) add_gap_before(step);
  add_gap_before(last_step + 1);
  if (ranges.size() > max_ranges) {
    ranges.resize(max_ranges);
    ranges.emplace_back("...");
  }
  return fmt::format("{}", fmt::join(ranges, ", "));
}

// A note for the user about the old lines; empty if there was exactly one line per step up to
// `last_step`, in order, and no other line.
std::string describe(const OldLines& lines, std::uint64_t last_step) {
  std::vector<std::string> remarks;
  const auto count = [&](std::int64_t number, const std::string& kind) {
    if (number > 0) remarks.push_back(fmt::format("dropped {} {}", number, kind));
  };
  count(lines.later, fmt::format("beyond step {}", last_step));
  count(lines.repeated, "repeated");
  count(lines.damaged, "damaged");
  if (!lines.in_order) remarks.emplace_back("sorted them by step");
  const std::string missing = missing_steps(lines, last_step);
  if (!missing.empty()) remarks.push_back("no line for steps " + missing);
  if (remarks.empty()) return "";
  return fmt::format("metrics.jsonl: kept {} lines; {}", lines.kept.size(),
                     fmt::join(remarks, "; "));
}

// Rewrites the file with one line per step, up to `last_step`. A crash leaves the old file or the
// new one. Nothing if there is no file.
std::optional<OldLines> cut(const fs::path& path, std::int64_t last_step) {
  std::ifstream old(path);
  if (!old) return std::nullopt;
  OldLines lines = read_lines(old, static_cast<std::uint64_t>(last_step));
  const fs::path temporary = path.string() + ".cut";
  std::ofstream kept(temporary, std::ios::trunc);
  for (const auto& [step, line] : lines.kept) kept << line << '\n';
  kept.close();
  require(kept.good(), "can't write {}: {}", temporary.string(), std::strerror(errno));
  io::File(temporary, O_RDONLY).sync();
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) io::fail_for_errno("replace", path, error.value());
  return lines;
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

// Operations that sent nothing are left out.
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
  if (const auto old = cut(path_, last_step)) {
    note_ = describe(*old, static_cast<std::uint64_t>(last_step));
    lost_steps_ = old->later;
  }
  stream_.open(path_, std::ios::app);
  require(stream_.good(), "can't write {}: {}", path_.string(), std::strerror(errno));
  io::sync_folder(path_.parent_path());
}

nlohmann::ordered_json to_json(const StepMetrics& m) {
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
  return line;
}

void MetricsWriter::write(const StepMetrics& metrics) {
  stream_ << to_json(metrics).dump() << std::endl;
  require(stream_.good(), "can't write {}: {}", path_.string(), std::strerror(errno));
}

}  // namespace masformer
