#include "launch/output/tensorboard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "launch/output/tfrecord.h"
#include "runtime/error.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

// A message of protocol buffers. Only what an Event needs; the numbers of fields and enums are
// those of tensorboard/compat/proto/{event,summary,tensor,tensor_shape,types}.proto.
class Message {
 public:
  Message& integer(unsigned field, std::uint64_t value) {
    return add_varint(field << 3U | wire_varint).add_varint(value);
  }
  Message& real64(unsigned field, double value) {
    return add_varint(field << 3U | wire_64).add_bits(std::bit_cast<std::uint64_t>(value), 8);
  }
  Message& real32(unsigned field, float value) {
    return add_varint(field << 3U | wire_32).add_bits(std::bit_cast<std::uint32_t>(value), 4);
  }
  // A text, or a message within the message.
  Message& text(unsigned field, std::string_view value) {
    add_varint(field << 3U | wire_bytes).add_varint(value.size());
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

  static constexpr unsigned wire_varint = 0, wire_64 = 1, wire_bytes = 2, wire_32 = 5;

 private:
  Message& add_varint(std::uint64_t value) {
    for (; value > 0x7F; value >>= 7U) bytes_ += static_cast<char>(value | 0x80U);
    bytes_ += static_cast<char>(value);
    return *this;
  }
  Message& add_bits(std::uint64_t value, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFFU);
    return *this;
  }

  std::string bytes_;
};

std::chrono::duration<double> since_1970() {
  return std::chrono::system_clock::now().time_since_epoch();
}

// An Event{wall_time = 1, step = 2}, always with both, so that step_of_event() finds the step.
Message event_at(std::int64_t step) {
  Message event;
  event.real64(1, since_1970().count()).integer(2, static_cast<std::uint64_t>(step));
  return event;
}

std::optional<std::int64_t> step_of_event(std::string_view event) {
  constexpr std::size_t begin = 10;  // behind wall_time, with its tag, and the tag of the step
  if (event.size() <= begin || event[begin - 1] != (2U << 3U | Message::wire_varint)) return {};
  std::uint64_t step = 0;
  for (std::size_t i = begin, shift = 0; i < event.size() && shift < 63; ++i, shift += 7) {
    const auto byte = static_cast<unsigned char>(event[i]);
    step |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return static_cast<std::int64_t>(step);
  }
  return {};
}

std::string version_event(std::int64_t step) {
  return event_at(step).text(3, "brain.Event:2").bytes();
}

// Event.session_log: whoever has read events of this step or later drops them.
std::string start_event(std::int64_t step) {
  constexpr unsigned start = 1;  // SessionLog.START
  return event_at(step).text(7, Message().integer(1, start).bytes()).bytes();
}

// Event.summary of values.
std::string summary_event(std::int64_t step, const Message& summary) {
  return event_at(step).text(5, summary.bytes()).bytes();
}

// A text for the plugin of this name: a tensor of one string, in Markdown.
Message text_value(std::string_view tag, std::string_view text) {
  constexpr unsigned string_type = 7, class_tensor = 2;  // DT_STRING, DATA_CLASS_TENSOR
  const Message plugin = Message().text(1, "text"), dim = Message().integer(1, 1);
  const Message metadata = Message().text(1, plugin.bytes()).integer(4, class_tensor);
  const Message shape = Message().text(2, dim.bytes());
  const Message tensor = Message().integer(1, string_type).text(2, shape.bytes()).text(8, text);
  return Message().text(1, tag).text(8, tensor.bytes()).text(9, metadata.bytes());
}

// The options as a file for --config, which Markdown shows as it is.
std::string config_text(const std::map<std::string, std::string>& options) {
  std::string text, section;
  for (const auto& [name, value] : options) {
    const std::size_t dot = name.find('.');
    if (std::exchange(section, name.substr(0, dot)) != name.substr(0, dot)) {
      text += fmt::format("    [{}]\n", section);
    }
    text += fmt::format("    {} = {}\n", name.substr(dot + 1), value);
  }
  return text;
}

// Adds a Value{tag = 1, simple_value = 2} for each number, in the order of the line.
void add_scalars(const nlohmann::ordered_json& value, const std::string& tag, Message& summary) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      add_scalars(inner, tag.empty() ? key : fmt::format("{}/{}", tag, key), summary);
    }
  } else if (value.is_number()) {
    summary.text(1, Message().text(1, tag).real32(2, value.get<float>()).bytes());
  }
}

constexpr std::string_view name_begin = "events.out.tfevents.", name_end = ".masformer";

// The files of earlier starts, in any order.
std::vector<fs::path> earlier_files(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(name_begin) && name.ends_with(name_end)) paths.push_back(entry.path());
  }
  return paths;
}

// TensorBoard reads files in the order of their names, which begin with the second of their start.
// So the new one is later than all others, whatever the clock says.
std::int64_t second_of_start(const std::vector<fs::path>& earlier) {
  auto second = static_cast<std::int64_t>(since_1970().count());
  for (const fs::path& path : earlier) {
    const std::string digits = path.filename().string().substr(name_begin.size());
    std::int64_t other = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), other);
    second = std::max(second, other + 1);
  }
  return second;
}

// Cuts a file before its first event beyond `last_step`, or its first damaged one. Steps of a file
// only rise.
void cut_events(const fs::path& path, std::int64_t last_step) {
  std::ifstream file(path, std::ios::binary);
  std::uintmax_t good = 0;
  while (const auto event = read_framed(file)) {
    const auto step = step_of_event(*event);
    if (!step || (good > 0 && *step > last_step)) break;
    good = static_cast<std::uintmax_t>(file.tellg());
  }
  file.close();
  if (good < fs::file_size(path)) fs::resize_file(path, good);
}

std::string host_in_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "host";
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(fs::path folder, std::int64_t last_step,
                                     const std::map<std::string, std::string>& options) {
  try {
    fs::create_directories(folder);
    const std::vector<fs::path> earlier = earlier_files(folder);
    for (const fs::path& path : earlier) cut_events(path, last_step);
    path_ = folder / fmt::format("{}{:010}.{}{}", name_begin, second_of_start(earlier),
                                 host_in_name(), name_end);
  } catch (const fs::filesystem_error& error) {
    fail("can't write {}: {}", folder.string(), error.code().message());
  }
  stream_.open(path_, std::ios::binary | std::ios::trunc);
  const std::int64_t first = last_step + 1;
  const Message text = Message().text(1, text_value("config", config_text(options)).bytes());
  append(framed(version_event(first)) + framed(start_event(first)) +
         framed(summary_event(first, text)));
}

void TensorBoardWriter::write(const StepMetrics& metrics) {
  nlohmann::ordered_json line = to_json(metrics);
  line.erase("step");
  Message summary;
  add_scalars(line, "", summary);
  append(framed(summary_event(metrics.step, summary)));
}

void TensorBoardWriter::append(const std::string& records) {
  stream_ << records << std::flush;
  require(stream_.good(), "can't write {}: {}", path_.string(), std::strerror(errno));
}

}  // namespace masformer
