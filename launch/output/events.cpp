#include "launch/output/events.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <unistd.h>
#include <utility>

namespace masformer {
namespace {

namespace fs = std::filesystem;

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void append(const io::File& file, std::string_view text) {
  const ssize_t written = ::write(file.descriptor(), text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return;
  io::fail_for_errno("write", file.path(), written < 0 ? errno : ENOSPC);
}

bool ends_within_a_line(const io::File& file) {
  const std::int64_t bytes = file.bytes();
  if (bytes == 0) return false;
  std::byte last{};
  file.read_at(bytes - 1, std::span(&last, 1));
  return last != std::byte{'\n'};
}

std::optional<Event> parse(const std::string& line) {
  nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  const auto has = [&](const char* key, auto holds) {
    return object.contains(key) && (object[key].*holds)();
  };
  using Json = nlohmann::json;
  if (!has("time", &Json::is_number) || !has("event", &Json::is_string) ||
      !has("step", &Json::is_number_integer)) {
    return std::nullopt;
  }
  const auto kind = find_enum<EventKind>(object["event"].get<std::string>());
  if (!kind) return std::nullopt;
  Event event{object["time"], *kind, object["step"], {}};
  for (const char* const key : {"time", "event", "step"}) object.erase(key);
  event.fields = std::move(object);
  return event;
}

}  // namespace

EventWriter::EventWriter(fs::path path) : file_(std::move(path), O_RDWR | O_CREAT | O_APPEND) {
  if (ends_within_a_line(file_)) append(file_, "\n");
}

void EventWriter::write(EventKind kind, std::int64_t step, const nlohmann::json& fields) {
  nlohmann::ordered_json line = {
      {"time", seconds_since_1970()}, {"event", name_of(kind)}, {"step", step}};
  for (const auto& [key, value] : fields.items()) line[key] = value;
  using Json = nlohmann::ordered_json;
  append(file_, line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

EventFile read_events(const fs::path& path) {
  EventFile file;
  if (!fs::exists(path)) return file;
  std::istringstream text(io::read_text(path));
  for (std::string line; std::getline(text, line);) {
    if (line.empty()) continue;
    if (std::optional<Event> event = parse(line)) {
      file.events.push_back(std::move(*event));
    } else {
      ++file.damaged;
    }
  }
  return file;
}

}  // namespace masformer
