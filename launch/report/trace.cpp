#include "launch/report/trace.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "launch/report/measured_step.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"

namespace masformer {
namespace {

constexpr int action_thread = 1, issue_thread = 2, first_communication_thread = 3;

// Nanoseconds as microseconds, exactly.
std::string microseconds(std::int64_t nanoseconds) {
  return fmt::format("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000);
}

bool is_communication(const Record& record) {
  return record.fields.group != no_name;
}

bool is_issued(const Record& record) {
  return record.fields.issued;
}

// Which thread shows a communication: the first whose last one has ended.
class CommunicationThreads {
 public:
  int take(const Record& record) {
    const auto free = std::ranges::find_if(ends_, [&](auto end) { return end <= record.begin; });
    const auto index = free - ends_.begin();
    if (free == ends_.end()) ends_.emplace_back();
    ends_[static_cast<std::size_t>(index)] =
        record.end < 0 ? std::numeric_limits<std::int64_t>::max() : record.end;
    return first_communication_thread + static_cast<int>(index);
  }
  int count() const { return static_cast<int>(ends_.size()); }

 private:
  std::vector<std::int64_t> ends_;  // of each thread
};

nlohmann::json arguments_of(const Recording& recording, const Record& record) {
  nlohmann::json arguments{{"step", record.step}};
  const RecordFields& fields = record.fields;
  if (fields.micro_batch >= 0) arguments["micro_batch"] = fields.micro_batch;
  if (fields.chunk >= 0) arguments["chunk"] = fields.chunk;
  if (fields.peer >= 0) arguments["peer"] = fields.peer;
  if (!is_communication(record)) return arguments;
  arguments["group"] = recording.names[fields.group];
  arguments["bytes"] = fields.bytes;
  arguments["number"] = fields.of_group;
  return arguments;
}

std::string title_of(const Recording& recording, const Record& record) {
  const std::string& name = recording.names[record.fields.name];
  if (is_communication(record)) return name + ", " + recording.names[record.fields.group];
  if (record.fields.micro_batch < 0) return name;
  const int chunk = record.fields.chunk;
  return fmt::format("{} {}{}", name, record.fields.micro_batch,
                     chunk > 0 ? fmt::format(", chunk {}", chunk) : "");
}

class TraceWriter {
 public:
  explicit TraceWriter(std::ostream& out) : out_(out) {}

  void add_metadata(const char* kind, int rank, int thread, const nlohmann::json& arguments) {
    add(fmt::format(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{}}})", kind, rank, thread,
                    json_line(arguments)));
  }

  void add_rank(const Recording& recording, std::int64_t origin) {
    const RecordedRank& at = recording.rank;
    add_metadata("process_name", at.rank, 0,
                 {{"name", fmt::format("rank {}: stage {}, data {}, context {}, tensor {}", at.rank,
                                       at.pipe, at.data, at.context, at.tensor)}});
    add_metadata("process_sort_index", at.rank, 0, {{"sort_index", at.rank}});
    add_metadata("thread_name", at.rank, action_thread, {{"name", "actions"}});
    if (std::ranges::any_of(recording.records, is_issued)) {
      add_metadata("thread_name", at.rank, issue_thread, {{"name", "actions as issued"}});
    }
    CommunicationThreads threads;
    for (const Record& record : recording.records) {
      const int action = is_issued(record) ? issue_thread : action_thread;
      const int thread = is_communication(record) ? threads.take(record) : action;
      add_record(recording, record, thread, record.begin + recording.clock_offset - origin);
    }
    for (int i = 0; i < threads.count(); ++i) {
      add_metadata("thread_name", at.rank, first_communication_thread + i,
                   {{"name", "communications"}});
    }
  }

 private:
  void add_record(const Recording& recording, const Record& record, int thread,
                  std::int64_t begin) {
    const bool has_ended = record.end >= record.begin;
    add(fmt::format(
        R"({{"ph":"{}","name":{},"cat":"{}","pid":{},"tid":{},"ts":{}{},"args":{}}})",
        has_ended ? "X" : "B", json_line(title_of(recording, record)),
        is_communication(record) ? "communication" : "action", recording.rank.rank, thread,
        microseconds(begin),
        has_ended ? fmt::format(R"(,"dur":{})", microseconds(record.end - record.begin)) : "",
        json_line(arguments_of(recording, record))));
  }

  void add(const std::string& event) {
    out_ << (is_first_ ? "\n" : ",\n") << event;
    is_first_ = false;
  }

  std::ostream& out_;
  bool is_first_ = true;
};

}  // namespace

void write_trace(const std::vector<Recording>& recordings, std::ostream& out) {
  const std::int64_t origin = first_time(recordings);
  out << R"({"displayTimeUnit":"ms","traceEvents":[)";
  TraceWriter writer(out);
  for (const Recording& recording : recordings) writer.add_rank(recording, origin);
  out << "\n]}\n";
}

void write_trace(const std::vector<Recording>& recordings, const std::filesystem::path& path) {
  std::ofstream file(path, std::ios::trunc);
  write_trace(recordings, file);
  file.close();
  require(file.good(), "can't write {}: {}", path.string(), std::strerror(errno));
}

}  // namespace masformer
