#include "launch/training/run_output.h"

#include <algorithm>

#include <fmt/format.h>

#include "launch/output/standard_streams.h"
#include "parallel/comm/collective_errors.h"

namespace masformer {
namespace {

// What a restart's event says of the start before it; null if there was none.
nlohmann::json describe_last_start(const EventFile& before) {
  const auto is = [](EventKind kind) { return [kind](const Event& e) { return e.kind == kind; }; };
  const auto& events = before.events;
  const auto start = std::find_if(events.rbegin(), events.rend(), is(EventKind::start));
  if (start == events.rend()) return nullptr;
  return {{"stopped", std::any_of(events.rbegin(), start, is(EventKind::stop))}};
}

}  // namespace

RunOutput::RunOutput(Communicator& world, const Options& options)
    : world_(world), options_(options) {
  on_first_rank(world_, [&] { directory_ = std::make_unique<RunDirectory>(options_.run.dir); });
}

template <class Use>
void RunOutput::try_tensorboard(Use use) {
  try {
    use();
  } catch (const std::exception& error) {
    tensorboard_.reset();
    log(fmt::format("no more for TensorBoard: {}", error.what()));
  }
}

void RunOutput::start_after(std::int64_t step, const nlohmann::json& fields,
                            const OptionTable& table) {
  step_ = step;
  on_first_rank(world_, [&] {
    metrics_ = std::make_unique<MetricsWriter>(directory_->metrics(), step);
    console_ = std::make_unique<Console>(options_.log.live, options_.log.every, step + 1,
                                         options_.train.steps);
    record_start(fields);
    if (!metrics_->note().empty()) note(metrics_->note());
    if (!options_.log.tensorboard) return;
    try_tensorboard([&] {
      tensorboard_ =
          std::make_unique<TensorBoardWriter>(directory_->tensorboard(), step, table.record());
    });
  });
}

void RunOutput::record_start(const nlohmann::json& fields) {
  const std::filesystem::path path = directory_->events();
  try {
    nlohmann::json last = describe_last_start(read_events(path));
    events_.emplace(path);
    if (!last.is_null()) {
      last["lost_steps"] = metrics_->lost_steps();
      record(EventKind::restart, step_, last);
    }
  } catch (const std::exception& error) {
    warn(fmt::format("this run records no events: {}", error.what()));
  }
  record(EventKind::start, step_, fields);
}

void RunOutput::record(EventKind kind, std::int64_t step, const nlohmann::json& fields) {
  if (!events_) return;
  try {
    events_->write(kind, step, fields);
  } catch (const std::exception& error) {
    events_.reset();
    warn(fmt::format("this run records no more events: {}", error.what()));
  }
}

void RunOutput::note(const std::string& text) {
  log(text);
  record(EventKind::note, step_, {{"text", text}});
}

void RunOutput::warn(const std::string& text) {
  log("warning: " + text);
  record(EventKind::warning, step_, {{"text", text}});
}

void RunOutput::write(const StepMetrics& metrics) {
  step_ = metrics.step;
  on_first_rank(world_, [&] {
    metrics_->write(metrics);
    if (tensorboard_) try_tensorboard([&] { tensorboard_->write(metrics); });
    console_->step(metrics);
  });
}

void RunOutput::sync() {
  on_first_rank(world_, [&] { metrics_->sync(); });
}

void RunOutput::log(const std::string& text) {
  if (world_.rank() > 0) return;
  if (console_) {
    console_->log(text);
  } else {
    write_notice(text + "\n");
  }
}

void RunOutput::summarize(const std::filesystem::path& checkpoint) {
  if (!console_) return;
  std::string text = console_->summary();
  if (!checkpoint.empty()) text += fmt::format("\n      checkpoint {}", checkpoint.string());
  if (!text.empty()) console_->log(text);
}

}  // namespace masformer
