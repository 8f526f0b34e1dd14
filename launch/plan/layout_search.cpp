#include "launch/plan/layout_search.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/plan/partition_choice.h"
#include "launch/plan/step_floor.h"
#include "parallel/pipeline/clearly_less.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/counted.h"
#include "runtime/error.h"

namespace masformer {
namespace {

std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> all;
  for (std::int64_t each = 1; each <= number; ++each) {
    if (number % each == 0) all.push_back(each);
  }
  return all;
}

// The micro-batch sizes to try: the powers of two that divide the samples of a data rank.
std::vector<std::int64_t> micro_batches(std::int64_t samples) {
  std::vector<std::int64_t> all;
  for (std::int64_t each = 1; each <= samples && samples % each == 0; each *= 2) {
    all.push_back(each);
  }
  return all;
}

// Whether the ways to share full layers differ; true for spans that can't be read, which is refused
// later.
bool has_full_layers(const Options& options) {
  if (options.model.spans.empty()) return true;
  try {
    const std::vector<Span> spans = parse_spans(options.model.spans);
    return std::ranges::find(spans, SpanKind::full, &Span::kind) != spans.end();
  } catch (const UsageError&) {
    return true;
  }
}

std::span<const FoundLayout> first_of(const std::vector<FoundLayout>& found, std::size_t most) {
  return {found.data(), std::min(found.size(), most)};
}

struct ScheduleChoice {
  std::string name;
  std::int64_t chunks = 0;
};

// Every schedule with a fixed pattern, with its own number of parts per stage, and interleaved with
// more of them. GPipe takes as long as 1F1B and more memory. `auto` takes a second or so to make,
// so only the fastest layouts get it (order_the_best()).
std::vector<ScheduleChoice> schedule_choices() {
  std::vector<ScheduleChoice> choices;
  for (const std::string& name : schedule_names()) {
    if (name != "gpipe" && name != "auto") choices.push_back({name});
    if (name == "interleaved") choices.push_back({name, 4});
  }
  return choices;
}

class LayoutSearch {
 public:
  explicit LayoutSearch(const SearchRequest& request)
      : request_(request), kept_(std::max(request.keep, fewest)) {}

  // The most promising come first, so that most of the others can be left out.
  SearchResult run() {
    each_mesh();
    std::ranges::stable_sort(candidates_, {}, &Candidate::least_seconds);
    for (const Candidate& candidate : candidates_) attempt(candidate.options, Effort::brief);
    divide_the_best_thoroughly();
    order_the_best();
    while (std::ssize(result_.found) > request_.keep) drop_slowest();
    if (result_.found.empty()) refuse_all();
    result_.ruled_out = reasons_.list();
    return std::move(result_);
  }

 private:
  bool is_free(const char* option) const { return !request_.is_set(option); }

  // The axis has the value that is set, or each divisor of `left`, the ranks for axes that are
  // free. `go_on` gets the value and the ranks that are left then.
  template <class GoOn>
  void each_value(const char* option, std::int64_t set, std::int64_t left, const GoOn& go_on) {
    if (!is_free(option)) return go_on(set, left);
    for (const std::int64_t value : divisors(left)) go_on(value, left / value);
  }

  // The ranks that the axes which are set leave to the others; nothing, and a reason, if there is
  // no such number.
  std::optional<std::int64_t> ranks_for_free_axes() {
    const auto& p = request_.options.parallel;
    std::int64_t left = request_.ranks;
    for (const auto& [option, extent] : {std::pair("parallel.tensor", p.tensor),
                                         {"parallel.context", p.context},
                                         {"parallel.pipeline", p.pipeline},
                                         {"parallel.data", p.data}}) {
      if (is_free(option) || extent == 0) continue;  // parallel.data=0 is free, too
      if (left % extent != 0) {
        reasons_.add(fmt::format("{}={} does not divide {}{}", option, extent,
                                 counted(left, "rank"),
                                 left < request_.ranks ? ", which the axes before it leave" : ""));
        return std::nullopt;
      }
      left /= extent;
    }
    return left;
  }

  void each_mesh() {
    const std::optional<std::int64_t> free = ranks_for_free_axes();
    if (!free) return;
    Options options = request_.options;
    auto& p = options.parallel;
    const bool is_data_set = !is_free("parallel.data") && p.data > 0;
    each_value("parallel.tensor", p.tensor, *free, [&](std::int64_t tensor, std::int64_t left) {
      p.tensor = tensor;
      each_value("parallel.context", p.context, left, [&](std::int64_t context, std::int64_t rest) {
        p.context = context;
        each_value("parallel.pipeline", p.pipeline, rest,
                   [&](std::int64_t pipeline, std::int64_t last) {
                     p.pipeline = pipeline;
                     if (!is_data_set) p.data = last;
                     if (!is_data_set || last == 1) each_batch(options);
                   });
      });
    });
  }

  void each_batch(Options options) {
    const std::int64_t batch = options.train.global_batch, data = options.parallel.data;
    if (batch % data != 0) {
      return reasons_.add(
          fmt::format("train.global_batch={} is no multiple of parallel.data", batch));
    }
    const int per_host = request_.figures->ranks_per_host;
    if (per_host > 0 && options.parallel.tensor > per_host) {
      return reasons_.add(
          fmt::format("parallel.tensor is above the {} devices of a host", per_host));
    }
    const auto sizes = is_free("train.micro_batch") ? micro_batches(batch / data)
                                                    : std::vector{options.train.micro_batch};
    for (const std::int64_t size : sizes) {
      options.train.micro_batch = size;
      each_schedule(options);
    }
  }

  void each_schedule(Options options) {
    const bool free = is_free("parallel.schedule") && options.parallel.pipeline > 1;
    if (!free) return each_sharing(options);
    const bool is_free_of_chunks = is_free("parallel.chunks");
    for (const ScheduleChoice& choice : schedule_choices()) {
      if (!is_free_of_chunks && choice.chunks > 0) continue;  // the same schedule again
      options.parallel.schedule = choice.name;
      if (is_free_of_chunks) options.parallel.chunks = choice.chunks;
      each_sharing(options);
    }
  }

  // What a layout is but for its schedule.
  static std::tuple<std::int64_t, std::int64_t, std::int64_t, std::optional<ContextFull>,
                    std::int64_t>
  without_schedule(const Options& options) {
    const auto& p = options.parallel;
    return {p.tensor, p.context, p.pipeline, p.context_full, options.train.micro_batch};
  }

  // The fastest pipelines get the partition that a plan of their options alone gets.
  void divide_the_best_thoroughly() {
    std::vector<FoundLayout> best;
    for (int i = 0; i < fewest && !result_.found.empty(); ++i) {
      best.push_back(std::move(result_.found.front()));
      result_.found.erase(result_.found.begin());
    }
    for (FoundLayout& layout : best) {
      const bool is_searched =
          layout.plan.mesh.pipe > 1 && !is_1f1b(layout.options.parallel.schedule);
      if (is_searched) attempt(layout.options, Effort::thorough);
      if (!is_searched) keep(std::move(layout));
    }
  }

  // Tries to beat the fastest pipelines by an order that suits their costs.
  void order_the_best() {
    if (!is_free("parallel.schedule")) return;
    constexpr std::size_t most = 4;
    std::vector<Options> pipelines;
    for (const FoundLayout& layout : first_of(result_.found, fewest)) {
      const bool is_new = std::ranges::none_of(pipelines, [&](const Options& each) {
        return without_schedule(each) == without_schedule(layout.options);
      });
      if (layout.plan.mesh.pipe > 1 && is_new) pipelines.push_back(layout.options);
      if (pipelines.size() == most) break;
    }
    for (Options& options : pipelines) {
      options.parallel.schedule = "auto";
      for (const std::int64_t chunks : {1, 2}) {
        if (is_free("parallel.chunks")) options.parallel.chunks = chunks;
        attempt(options, Effort::thorough);
        if (!is_free("parallel.chunks")) break;
      }
    }
  }

  void each_sharing(Options options) {
    auto& full_layers = options.parallel.context_full;
    if (!full_layers && options.parallel.context == 1) full_layers = ContextFull::ring;
    if (full_layers) return candidates_.push_back({options, least_seconds(options)});
    for (const auto& [full, name] : enum_names<ContextFull>) {
      if (full != ContextFull::ring && !has_full_layers(options)) continue;
      full_layers = full;
      candidates_.push_back({options, least_seconds(options)});
    }
  }

  // How long to search for a partition.
  enum class Effort : std::uint8_t { brief, thorough };

  void attempt(const Options& options, Effort effort) {
    if (is_too_slow(least_seconds(options))) return reasons_.add(slower);
    try {
      // Without a limit first: a layout that is too slow even so needs no plan of its memory.
      Options without_limit = options;
      without_limit.plan.memory_gib = 0;
      FoundLayout layout = found_layout(without_limit, effort);
      if (is_too_slow(layout.prediction.step_seconds())) {
        return reasons_.add(slower);
      }
      predict_memory(layout.plan, layout.prediction);
      if (!fits(layout.prediction)) {
        layout = found_layout(options, effort);
        predict_memory(layout.plan, layout.prediction);
      }
      layout.options = options;
      if (options.parallel.schedule == "auto" && is_no_gain(layout)) {
        return reasons_.add("parallel.schedule=auto finds no faster order than a fixed schedule");
      }
      keep(std::move(layout));
    } catch (const UsageError& error) {
      reasons_.add(first_line(error.what()));
    }
  }

  // Whether one that differs in its schedule alone is as fast.
  bool is_no_gain(const FoundLayout& layout) const {
    return std::ranges::any_of(result_.found, [&](const FoundLayout& each) {
      return without_schedule(each.options) == without_schedule(layout.options) &&
             each.plan.training.chunks() == layout.plan.training.chunks() &&
             !clearly_less(layout.prediction.step_seconds(), each.prediction.step_seconds());
    });
  }

  // Without the memory of its stages. Throws UsageError.
  FoundLayout found_layout(const Options& options, Effort effort) {
    const EstimatedTimes estimated(*request_.figures, options.parallel.context_full.value());
    const LayerTimes& times = request_.times != nullptr ? *request_.times : estimated;
    RunPlan plan = plan_of(options, request_.ranks, times, effort);
    Prediction prediction = predict_times(plan, *request_.figures, times);
    return {options, std::move(plan), std::move(prediction)};
  }

  RunPlan plan_of(const Options& options, int ranks, const LayerTimes& times, Effort effort) {
    return make_run_plan(options, ranks, request_.store_vocab,
                         {.times = &times,
                          .figures = request_.figures,
                          .searches_briefly = effort == Effort::brief,
                          .names_remedy = false,
                          .shardings = &shardings_});
  }

  bool fits(const Prediction& prediction) const {
    const std::int64_t limit = memory_limit(request_.options, {});
    return std::ranges::all_of(prediction.stages, [&](const StagePrediction& stage) {
      return stage.memory.total() <= limit;
    });
  }

  bool is_too_slow(double seconds) const {
    return std::ssize(result_.found) == kept_ &&
           seconds >= result_.found.back().prediction.step_seconds();
  }

  // No step of the layout is shorter, if nothing is recomputed; 0 if the layout is refused. With
  // context ranks it is an estimate, since a pipeline may choose another order of tokens than one
  // stage does.
  double least_seconds(const Options& options) {
    try {
      return floor_seconds(options);
    } catch (const UsageError&) {  // attempt() finds it again, and counts it
      return 0;
    }
  }

  double floor_seconds(const Options& options) {
    const auto& p = options.parallel;
    const auto key = std::tuple(p.tensor, p.context, p.context_full, options.train.micro_batch);
    const auto [known, is_new] = floors_.try_emplace(key);
    if (is_new) known->second = floor_of(options);
    if (!known->second) return 0;
    const std::int64_t micro_batches =
        options.train.global_batch / (p.data * options.train.micro_batch);
    const int chunks = chunks_of_schedule(p.schedule, static_cast<int>(p.chunks));
    return known->second->seconds(static_cast<int>(p.pipeline), chunks,
                                  static_cast<int>(micro_batches));
  }

  // From the layers' times on the ranks of one stage; none if the model can't be divided among
  // these.
  std::optional<StepFloor> floor_of(Options options) {
    options.parallel.pipeline = options.parallel.data = 1;
    options.parallel.partition = "even";
    options.parallel.schedule = "1f1b";
    options.parallel.chunks = 0;
    options.train.global_batch = options.train.micro_batch;
    options.train.recompute = "none";
    options.plan.memory_gib = 0;
    const auto ranks = static_cast<int>(options.parallel.tensor * options.parallel.context);
    const EstimatedTimes estimated(*request_.figures, options.parallel.context_full.value());
    const LayerTimes& times = request_.times != nullptr ? *request_.times : estimated;
    try {
      return StepFloor(model_seconds(plan_of(options, ranks, times, Effort::brief), times));
    } catch (const UsageError&) {
      return std::nullopt;
    }
  }

  // The times of the layers, from a plan with one stage.
  static ModelSeconds model_seconds(const RunPlan& plan, const LayerTimes& times) {
    const StageSpec stage = plan.describe_stage({});
    const ChunkSpec& chunk = stage.chunks.front();
    ModelSeconds model{.embedding = times.of(stage, 0),
                       .head = times.of(stage, stage.program.layers() - 1)};
    for (const StageLayers block : chunk.blocks) {
      PassSeconds& seconds = model.blocks.emplace_back();
      for (int layer = block.begin; layer < block.end; ++layer) seconds += times.of(stage, layer);
    }
    return model;
  }

  void keep(FoundLayout layout) {
    const auto seconds = [](const FoundLayout& each) { return each.prediction.step_seconds(); };
    const auto place =
        std::ranges::upper_bound(result_.found, seconds(layout), std::less(), seconds);
    result_.found.insert(place, std::move(layout));
    if (std::ssize(result_.found) > kept_) drop_slowest();
  }

  void drop_slowest() {
    result_.found.pop_back();
    reasons_.add(slower);
  }

  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  [[noreturn]] void refuse_all() const {
    std::vector<std::string> lines;
    if (reasons_.list().empty()) lines.emplace_back("the axes that are set make fewer ranks");
    for (const RuledOut& out : reasons_.list()) {
      lines.push_back(out.message + (out.varies ? " (and the like)" : ""));
    }
    refuse("no layout of {} is possible with these options:\n{}", counted(request_.ranks, "rank"),
           fmt::join(lines, "\n"));
  }

  struct Candidate {
    Options options;
    double least_seconds;
  };

  // So many are compared, however few are asked for, and `auto` is tried for these alone: which
  // layout is the fastest must not depend on how many are shown.
  static constexpr int fewest = 8;
  static constexpr const char* slower = "slower than those shown";

  const SearchRequest& request_;
  std::ptrdiff_t kept_;
  ShardingCache shardings_;
  std::vector<Candidate> candidates_;
  SearchResult result_;
  RuledOutReasons reasons_;
  // Keys: tensor ranks, context ranks, how full layers are shared, samples per micro-batch.
  std::map<std::tuple<std::int64_t, std::int64_t, std::optional<ContextFull>, std::int64_t>,
           std::optional<StepFloor>>
      floors_;
};

}  // namespace

const DeviceFigures& choose_figures(Options& options) {
  if (options.plan.device.empty()) return figures_of(options.runtime.device);
  const DeviceFigures& figures = figures_named(options.plan.device);
  options.runtime.device = figures.device;
  return figures;
}

double memory_to_plan_for(const DeviceFigures& figures, std::int64_t host_share) {
  constexpr double gib = 1024.0 * 1024 * 1024;
  const std::int64_t bytes = figures.memory_bytes > 0 ? figures.memory_bytes : host_share;
  return static_cast<double>(bytes) / gib;
}

SearchResult search_layouts(const SearchRequest& request) {
  return LayoutSearch(request).run();
}

std::vector<std::pair<std::string, std::string>> chosen_options(const Options& options,
                                                                const RunPlan& plan) {
  const auto& p = options.parallel;
  return {{"parallel.tensor", std::to_string(plan.mesh.tensor)},
          {"parallel.pipeline", std::to_string(plan.mesh.pipe)},
          {"parallel.context", std::to_string(plan.mesh.context)},
          {"parallel.data", std::to_string(plan.mesh.data)},
          {"parallel.schedule", p.schedule},
          {"parallel.chunks", std::to_string(plan.training.chunks())},
          {"parallel.partition", fmt::format("{}", fmt::join(counts_of(plan.partition), ","))},
          {"parallel.context_full", std::string(name_of(plan.policy.context_full))},
          {"train.micro_batch", std::to_string(plan.policy.shape.samples)},
          {"train.recompute", to_string(plan.policy.recompute)}};
}

}  // namespace masformer
