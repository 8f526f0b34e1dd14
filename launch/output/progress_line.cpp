#include "launch/output/progress_line.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/output/numbers.h"

namespace masformer {

void StepPace::add(double now) {
  constexpr std::size_t most = 21;  // of 20 steps
  ends_.push_back(now);
  if (ends_.size() > most) ends_.pop_front();
}

std::optional<double> StepPace::seconds_per_step() const {
  if (ends_.size() < 2) return {};
  return (ends_.back() - ends_.front()) / static_cast<double>(ends_.size() - 1);
}

namespace {

// A field of the line: a value, with its words from the longest to the shortest.
struct Field {
  std::string name;
  std::vector<std::string> forms;
};

std::vector<Field> fields_of(const StepMetrics& m, const Progress& progress) {
  const std::string step = fmt::format("{}/{}", m.step, progress.last_step);
  const std::string rate = short_number(m.tokens_per_second);
  const std::string share = fmt::format("{:.0f}%", without_nan_sign(100 * m.mfu));
  const std::string memory = short_bytes(m.peak_memory_bytes);
  const std::string bubble = fmt::format("{:.0f}%", 100 * m.bubble);
  const std::string left = short_duration(progress.seconds_left);
  std::vector<Field> fields{{"step", {"step " + step, step}},
                            {"loss", {fmt::format("loss {:.4f}", without_nan_sign(m.loss))}}};
  if (progress.held_out) {
    const std::string loss = fmt::format("{:.4f}", without_nan_sign(*progress.held_out));
    fields.push_back({"held-out", {"held-out " + loss, "held " + loss}});
  }
  fields.push_back({"rate", {rate + " tokens/s", rate + " tok/s", rate + "/s"}});
  if (m.mfu > 0) fields.push_back({"share", {share + " of peak", share + " peak", share}});
  if (m.peak_memory_bytes > 0) {
    fields.push_back(
        {"memory",
         {memory, memory.substr(0, memory.find(' ')) + memory.substr(memory.find(' ') + 1, 1)}});
  }
  if (m.bubble > 0) fields.push_back({"bubble", {"bubble " + bubble, "bub " + bubble}});
  fields.push_back({"left", {left + " left", left}});
  return fields;
}

std::string joined(const std::vector<Field>& fields, std::string_view space) {
  std::vector<std::string> words;
  for (const Field& field : fields) words.push_back(field.forms.front());
  return fmt::format("{}", fmt::join(words, space));
}

// Replaces a field's words by the next shorter ones, if it has both.
void shorten(std::vector<Field>& fields, std::string_view name) {
  const auto field = std::ranges::find(fields, name, &Field::name);
  if (field != fields.end() && field->forms.size() > 1) field->forms.erase(field->forms.begin());
}

}  // namespace

std::string progress_line(const StepMetrics& metrics, const Progress& progress,
                          std::size_t columns) {
  std::vector<Field> fields = fields_of(metrics, progress);
  std::string_view space = "  ";
  const auto fits = [&] { return joined(fields, space).size() <= columns; };
  for (const char* const name : {"rate", "share", "memory", "bubble", "held-out"}) {
    if (!fits()) shorten(fields, name);
  }
  if (!fits()) space = " ";
  for (const char* const name : {"left", "step", "rate", "share"}) {
    if (!fits()) shorten(fields, name);
  }
  for (const char* const name : {"memory", "bubble", "share", "rate", "held-out", "left"}) {
    if (!fits()) std::erase_if(fields, [&](const Field& field) { return field.name == name; });
  }
  return joined(fields, space);
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", without_nan_sign(value));
  if (value < 9999.5) return fmt::format("{:.0f}", value);
  constexpr std::array units{"", "k", "M", "G", "T", "P"};
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < units.size(); value /= 1000) ++unit;
  return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, units[unit]);
}

std::string short_bytes(std::int64_t bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1023.5 && unit + 1 < units.size(); value /= 1024) ++unit;
  return fmt::format("{:.{}f} {}", value, unit > 0 && value < 99.95 ? 1 : 0, units[unit]);
}

std::string short_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  if (whole >= 86400) return fmt::format("{}d{:02}h", whole / 86400, whole % 86400 / 3600);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

}  // namespace masformer
