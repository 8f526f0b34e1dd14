// RUN_DIR/events.jsonl records what happens in a run besides its steps: one JSON object per line.
// docs/metrics.md describes it. Lines are only ever appended: a resumed run keeps the history of
// the starts before it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/enum_names.h"
#include "runtime/io/file.h"

namespace masformer {

#define MASFORMER_EVENT_KINDS(VALUE) \
  VALUE(start, "start")              \
  VALUE(restart, "restart")          \
  VALUE(memory, "memory")            \
  VALUE(evaluation, "evaluation")    \
  VALUE(save, "save")                \
  VALUE(note, "note")                \
  VALUE(warning, "warning")          \
  VALUE(stop, "stop")
MASFORMER_NAMED_ENUM(EventKind, MASFORMER_EVENT_KINDS);
#undef MASFORMER_EVENT_KINDS

struct Event {
  double time = 0;  // seconds since 1970, by the system's clock
  EventKind kind = EventKind::note;
  std::int64_t step = 0;  // done when it happened
  nlohmann::json fields;  // what belongs to this kind: an object
};

class EventWriter {
 public:
  // Opens the file to append to it, or creates it. If a killed run left half a line at its end,
  // ends that line. Throws Error if the file can't be written.
  explicit EventWriter(std::filesystem::path path);

  // Appends a line with the time of now, by one call of write(2), so that a kill leaves the whole
  // line or none, except on a full disk. Throws Error if that fails.
  void write(EventKind kind, std::int64_t step, const nlohmann::json& fields);

 private:
  io::File file_;
};

struct EventFile {
  std::vector<Event> events;  // in the order of the file
  std::int64_t damaged = 0;   // lines that can't be read, such as one cut off by a kill
};

// Leaves damaged lines out. A file that is missing has no events; throws Error if it can't be read.
EventFile read_events(const std::filesystem::path& path);

}  // namespace masformer
