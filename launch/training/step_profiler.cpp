#include "launch/training/step_profiler.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "launch/plan/describe.h"
#include "launch/training/step_profile.h"
#include "parallel/comm/json_text.h"
#include "runtime/io/replace_file.h"

namespace masformer {

void StepProfiler::begin(std::int64_t step) {
  const Coordinate& at = job_.groups.at;
  if (step != profiled_step_ || at.data > 0 || at.context > 0 || at.tensor > 0) return;
  timer_.emplace(job_.stream);
}

void StepProfiler::end() {
  if (timer_ && job_.stream.timer() == &*timer_) timer_->finish();
}

nlohmann::json StepProfiler::profile_of_stage() const {
  const StepProfile profile = make_profile(timer_->calls(), timer_->seconds());
  const int stage = job_.groups.at.pipe;
  nlohmann::json json = to_json(profile);
  json["stage"] = stage;
  json["rank"] = job_.world().rank();
  json["holds"] = layers_of(job_.plan, stage);
  json["peak_flops"] = job_.rank_peak_flops;
  json["text"] = to_string(profile, job_.rank_peak_flops);
  return json;
}

void StepProfiler::report(std::int64_t step) {
  if (step != profiled_step_) return;
  const nlohmann::json own = timer_ ? profile_of_stage() : nlohmann::json();
  timer_.reset();
  nlohmann::json stages = nlohmann::json::array();
  // The pipe axis is the outermost, so the order of ranks is the order of stages.
  for (nlohmann::json& stage : all_gather_json(job_.world(), own)) {
    if (stage.is_null()) continue;
    output_.log(fmt::format("profile of step {}: stage {} ({}), rank {}\n{}", step,
                            stage.at("stage").get<int>(), stage.at("holds").get<std::string>(),
                            stage.at("rank").get<int>(), stage.at("text").get<std::string>()));
    stage.erase("text");
    stages.push_back(std::move(stage));
  }
  if (!job_.first()) return;
  try {
    io::replace_text(output_.directory()->path() / "profile.json",
                     json_line({{"step", step}, {"stages", stages}}) + "\n");
  } catch (const std::exception& error) {
    output_.warn(fmt::format("the profile is only printed: {}", error.what()));
  }
}

}  // namespace masformer
