#include "launch/report/measured_step.h"

#include <algorithm>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "launch/report/json_fields.h"
#include "launch/report/units.h"

namespace masformer {
namespace {

constexpr double nanosecond = 1e-9;

// The bars of one step, in nanoseconds since `origin`, and how many each stage has.
struct RawStep {
  std::vector<TimelineBar> bars;
  std::vector<std::size_t> counts;  // [stage]
  bool has_issued = false;          // actions of which only the host's times are known
};

bool is_of_the_first_pipeline(const RecordedRank& rank) {
  return rank.data == 0 && rank.context == 0 && rank.tensor == 0;
}

void add_actions(const Recording& recording, std::int64_t origin, std::size_t stages,
                 std::map<std::int64_t, RawStep>& steps) {
  const auto stage = static_cast<std::size_t>(recording.rank.pipe);
  const std::int64_t offset = recording.clock_offset - origin;
  for (const Record& record : recording.records) {
    const RecordFields& fields = record.fields;
    const auto kind = find_enum<ActionKind>(recording.names[fields.name]);
    if (!kind || fields.group != no_name || record.step <= 0 || record.end < record.begin) continue;
    RawStep& step = steps[record.step];
    step.counts.resize(stages);
    step.has_issued |= fields.issued;
    ++step.counts[stage];
    step.bars.push_back({recording.rank.pipe,
                         static_cast<double>(record.begin + offset),
                         static_cast<double>(record.end + offset),
                         {*kind, fields.micro_batch, fields.chunk}});
  }
}

// Whether the ring may have replaced the first records of a step: the oldest that it holds is of
// this step, and not the first that the rank made.
bool may_be_cut(const Recording& recording, std::int64_t step) {
  if (recording.records.empty()) return true;
  const Record& oldest = recording.records.front();
  return oldest.step == step && oldest.number > 1;
}

using Counts = std::vector<std::size_t>;  // actions of a step, [stage]

// Nothing if the plan doesn't tell.
std::optional<Counts> planned_counts(const nlohmann::json& plan, std::size_t stages) {
  Counts counts;
  for (const nlohmann::json& actions : list_of(plan, "actions")) {
    if (!actions.is_array()) return std::nullopt;
    counts.push_back(actions.size());
  }
  return counts.size() == stages ? std::optional(counts) : std::nullopt;
}

// Removes the steps that are only partly recorded.
void keep_whole_steps(const std::vector<const Recording*>& pipeline, const nlohmann::json& plan,
                      std::map<std::int64_t, RawStep>& steps) {
  std::optional<Counts> whole = planned_counts(plan, pipeline.size());
  if (!whole) {
    std::erase_if(steps, [&](const auto& item) {
      return std::ranges::any_of(
          pipeline, [&](const Recording* rank) { return may_be_cut(*rank, item.first); });
    });
    whole.emplace(pipeline.size());
    for (const auto& [number, step] : steps) {
      std::ranges::transform(*whole, step.counts, whole->begin(),
                             [](std::size_t a, std::size_t b) { return std::max(a, b); });
    }
  }
  std::erase_if(steps, [&](const auto& item) {
    return item.second.counts != *whole || item.second.has_issued;
  });
}

// How many stages the pipeline has; 0 if the recordings don't tell. The ranks of stage p begin with
// rank p * ranks / stages (parallel/mesh.h).
int stages_of(const std::vector<Recording>& recordings) {
  for (const Recording& recording : recordings) {
    const RecordedRank& at = recording.rank;
    if (is_of_the_first_pipeline(at) && at.rank > 0 && at.pipe > 0) {
      return at.pipe * at.ranks / at.rank;
    }
    if (at.rank == at.ranks - 1) return at.pipe + 1;
  }
  return 0;
}

void begin_at_zero(std::vector<TimelineBar>& bars, double unit) {
  double first = std::numeric_limits<double>::infinity();
  for (const TimelineBar& bar : bars) first = std::min(first, bar.begin);
  for (TimelineBar& bar : bars) {
    bar.begin = (bar.begin - first) * unit;
    bar.end = (bar.end - first) * unit;
  }
}

double last_end(const std::vector<TimelineBar>& bars) {
  double last = 0;
  for (const TimelineBar& bar : bars) last = std::max(last, bar.end);
  return last;
}

// `actions` as docs/planning.md describes; stops at what has another form.
std::optional<Timeline> predicted_timeline(const nlohmann::json& plan) {
  if (!plan.is_object() || !plan.contains("actions")) return std::nullopt;
  Timeline timeline;
  try {
    timeline.stages = 0;
    for (const nlohmann::json& stage : plan.at("actions")) {
      for (const nlohmann::json& a : stage) {
        const auto kind = find_enum<ActionKind>(a.at(0).get<std::string>());
        if (!kind) return std::nullopt;
        timeline.bars.push_back({timeline.stages, a.at(3), a.at(4), {*kind, a.at(1), a.at(2)}});
      }
      ++timeline.stages;
    }
    timeline.step_end = plan.value("step_seconds", 0.0);
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
  if (timeline.bars.empty()) return std::nullopt;
  begin_at_zero(timeline.bars, 1);
  timeline.title = fmt::format("predicted: {} a step", duration_text(timeline.step_end));
  return timeline;
}

std::optional<Timeline> measured_timeline(const RunFiles& run) {
  const std::optional<MeasuredStep> step = median_step(run.recordings, run.plan);
  if (!step) return std::nullopt;
  Timeline timeline{.stages = step->stages, .bars = step->bars};
  const auto at = std::ranges::lower_bound(run.metrics.steps, static_cast<double>(step->step));
  const bool is_known = at != run.metrics.steps.end() && *at == static_cast<double>(step->step);
  if (is_known) {
    const double seconds = run.metrics.column(
        "step_seconds")[static_cast<std::size_t>(at - run.metrics.steps.begin())];
    if (seconds > 0) timeline.step_end = seconds;
  }
  timeline.title =
      fmt::format("measured: {} a step (step {}, the median of the last {} recorded)",
                  duration_text(timeline.step_end > 0 ? timeline.step_end : step->seconds()),
                  step->step, step->of);
  return timeline;
}

}  // namespace

double MeasuredStep::seconds() const {
  return last_end(bars);
}

std::int64_t first_time(const std::vector<Recording>& recordings) {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const Recording& recording : recordings) {
    for (const Record& record : recording.records) {
      first = std::min(first, record.begin + recording.clock_offset);
    }
  }
  return first;
}

std::optional<MeasuredStep> median_step(const std::vector<Recording>& recordings,
                                        const nlohmann::json& plan) {
  std::vector<const Recording*> pipeline;
  for (const Recording& recording : recordings) {
    if (is_of_the_first_pipeline(recording.rank)) pipeline.push_back(&recording);
  }
  const auto stages = static_cast<std::size_t>(stages_of(recordings));
  if (stages == 0 || pipeline.size() != stages) return std::nullopt;
  const std::int64_t origin = first_time(recordings);
  std::map<std::int64_t, RawStep> steps;
  for (const Recording* const recording : pipeline) add_actions(*recording, origin, stages, steps);
  keep_whole_steps(pipeline, plan, steps);
  std::vector<MeasuredStep> complete;
  for (auto& [number, step] : steps) {
    begin_at_zero(step.bars, nanosecond);
    complete.push_back({number, 0, static_cast<int>(stages), std::move(step.bars)});
  }
  if (complete.empty()) return std::nullopt;
  const auto middle = complete.begin() + static_cast<std::ptrdiff_t>((complete.size() - 1) / 2);
  std::ranges::nth_element(complete, middle, {}, &MeasuredStep::seconds);
  middle->of = static_cast<int>(complete.size());
  return std::move(*middle);
}

std::vector<Timeline> timelines_of(const std::vector<RunFiles>& runs) {
  std::vector<Timeline> all;
  for (const RunFiles& run : runs) {
    for (auto& timeline : {predicted_timeline(run.plan), measured_timeline(run)}) {
      if (!timeline) continue;
      all.push_back(*timeline);
      if (runs.size() > 1) all.back().title = fmt::format("{}: {}", run.label, timeline->title);
    }
  }
  return all;
}

}  // namespace masformer
