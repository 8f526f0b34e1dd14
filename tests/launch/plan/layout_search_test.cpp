#include "launch/plan/layout_search.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

Options small_model() {
  Options o;
  o.model.spans = "full*2,window:16*4";
  o.model.hidden = 64;
  o.model.heads = 4;
  o.model.vocab = 300;
  o.train.sequence = 64;
  o.train.global_batch = 16;
  o.plan.memory_gib = 4;
  return o;
}

SearchRequest request_of(const Options& options, int ranks, const std::string& set = "") {
  return {.options = options,
          .is_set = [set](const std::string& name) { return name == set; },
          .ranks = ranks,
          .store_vocab = 300,
          .figures = &figures_named("cpu"),
          .keep = 1000};
}

double predicted_seconds(const Options& options, int ranks) {
  const DeviceFigures& figures = figures_named("cpu");
  const RunPlan plan = make_run_plan(options, ranks, 300);
  return predict(plan, figures, EstimatedTimes(figures, plan.policy.context_full)).step_seconds();
}

// No combination of options that can be planned is faster than what was found.
TEST(LayoutSearch, FindsTheFastestOfAllLayouts) {
  constexpr int ranks = 4;
  double best = std::numeric_limits<double>::infinity();
  int possible = 0;
  for (const std::int64_t tensor : {1, 2, 4}) {
    for (const std::int64_t context : {1, 2, 4}) {
      for (const std::int64_t pipeline : {1, 2, 4}) {
        for (const std::int64_t micro_batch : {1, 2, 4, 8, 16}) {
          for (const char* const schedule : {"gpipe", "1f1b", "zero-bubble", "interleaved"}) {
            Options o = small_model();
            o.parallel.tensor = tensor, o.parallel.context = context;
            o.parallel.pipeline = pipeline, o.train.micro_batch = micro_batch;
            o.parallel.schedule = schedule;
            if (ranks % (tensor * context * pipeline) != 0) continue;
            try {
              best = std::min(best, predicted_seconds(o, ranks));
              ++possible;
            } catch (const UsageError&) {
            }
          }
        }
      }
    }
  }
  const SearchResult result = search_layouts(request_of(small_model(), ranks));
  EXPECT_GT(possible, 100);
  EXPECT_LE(result.found.front().prediction.step_seconds(), best);
  for (std::size_t i = 1; i < result.found.size(); ++i) {
    EXPECT_LE(result.found[i - 1].prediction.step_seconds(),
              result.found[i].prediction.step_seconds());
  }
  // What can't be among the fastest is left out early.
  SearchRequest request = request_of(small_model(), ranks);
  request.keep = 3;
  const SearchResult few = search_layouts(request);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(few.found[i].prediction.step_seconds(), result.found[i].prediction.step_seconds());
  }
  // Each is what its options lead to.
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(predicted_seconds(result.found[i].options, ranks),
              result.found[i].prediction.step_seconds());
  }
}

TEST(LayoutSearch, KeepsWhatIsSet) {
  Options options = small_model();
  options.parallel.pipeline = 2;
  const SearchResult result = search_layouts(request_of(options, 4, "parallel.pipeline"));
  for (const FoundLayout& layout : result.found) EXPECT_EQ(layout.plan.mesh.pipe, 2);
  for (const FoundLayout& layout : result.found) {
    EXPECT_EQ(layout.plan.global_batch, options.train.global_batch);
  }
}

// Schedules that don't take the number of parts are left out, and nothing else is.
TEST(LayoutSearch, KeepsTheNumberOfPartsThatIsSet) {
  Options options = small_model();
  options.parallel.chunks = 2;
  const SearchResult result = search_layouts(request_of(options, 4, "parallel.chunks"));
  int pipelines = 0;
  for (const FoundLayout& layout : result.found) {
    if (layout.plan.mesh.pipe == 1) continue;
    EXPECT_EQ(layout.plan.training.chunks(), 2);
    ++pipelines;
  }
  EXPECT_GT(pipelines, 0);
}

TEST(LayoutSearch, FindsTheSameHoweverManyAreShown) {
  SearchRequest request = request_of(small_model(), 4);
  const auto fastest = [&](int keep) {
    request.keep = keep;
    const FoundLayout best = search_layouts(request).found.front();
    return chosen_options(best.options, best.plan);
  };
  EXPECT_EQ(fastest(1), fastest(1000));
}

TEST(LayoutSearch, CountsEachLayoutHoweverManyAreShown) {
  SearchRequest request = request_of(small_model(), 4);
  const auto count = [&](int keep) {
    request.keep = keep;
    const SearchResult result = search_layouts(request);
    auto all = static_cast<int>(result.found.size());
    for (const RuledOut& out : result.ruled_out) all += out.layouts;
    return all;
  };
  EXPECT_EQ(count(1), count(1000));
}

// Elsewhere its line would repeat that of a fixed schedule.
TEST(LayoutSearch, ShowsAutoOnlyWhereItIsFaster) {
  Options options = small_model();
  options.model.spans = "full*2,window:16*10";
  options.parallel.pipeline = 4;
  const SearchResult result = search_layouts(request_of(options, 4, "parallel.pipeline"));
  const auto layout = [](const FoundLayout& each) {
    const auto& p = each.options.parallel;
    return std::tuple(p.tensor, p.context, p.pipeline, p.context_full,
                      each.options.train.micro_batch, each.plan.training.chunks());
  };
  int automatics = 0;
  for (const FoundLayout& automatic : result.found) {
    if (automatic.options.parallel.schedule != "auto") continue;
    ++automatics;
    for (const FoundLayout& each : result.found) {
      if (&each == &automatic || layout(each) != layout(automatic)) continue;
      EXPECT_LT(automatic.prediction.step_seconds(), each.prediction.step_seconds());
    }
  }
  EXPECT_GT(automatics, 0);
  EXPECT_TRUE(std::ranges::any_of(result.ruled_out, [](const RuledOut& out) {
    return out.message.starts_with("parallel.schedule=auto finds no faster order");
  }));
}

TEST(LayoutSearch, NamesTheAxesThatDoNotFit) {
  const auto refusal = [](const Options& options, const std::string& set) {
    try {
      search_layouts(request_of(options, 4, set));
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  Options options = small_model();
  options.parallel.data = 3;
  EXPECT_NE(refusal(options, "parallel.data").find("\nparallel.data=3 does not divide 4 ranks"),
            std::string::npos);
  options = small_model();
  options.parallel.tensor = 3;
  EXPECT_NE(refusal(options, "parallel.tensor").find("\nparallel.tensor=3 does not divide"),
            std::string::npos);
}

TEST(LayoutSearch, TriesOneWayToShareFullLayersIfThereAreNone) {
  Options options = small_model();
  options.model.spans = "window:16*6";
  for (const FoundLayout& layout : search_layouts(request_of(options, 4)).found) {
    EXPECT_EQ(layout.plan.policy.context_full, ContextFull::ring);
  }
}

// With less memory, the layouts that are left take longer, and none exceeds it.
TEST(LayoutSearch, StaysWithinTheMemory) {
  Options options = small_model();
  double last = 0;
  for (const double gib : {1.0, 0.004, 0.003}) {
    options.plan.memory_gib = gib;
    const SearchResult result = search_layouts(request_of(options, 4));
    EXPECT_GE(result.found.front().prediction.step_seconds(), last) << gib;
    last = result.found.front().prediction.step_seconds();
    for (const FoundLayout& layout : result.found) {
      for (const StagePrediction& stage : layout.prediction.stages) {
        EXPECT_LE(static_cast<double>(stage.memory.total()), gib * (1 << 30));
      }
    }
  }
  options.plan.memory_gib = 0.0001;
  EXPECT_THROW(search_layouts(request_of(options, 4)), UsageError);
}

TEST(LayoutSearch, FindsTheSameEachTime) {
  const SearchResult a = search_layouts(request_of(small_model(), 4));
  const SearchResult b = search_layouts(request_of(small_model(), 4));
  ASSERT_EQ(a.found.size(), b.found.size());
  for (std::size_t i = 0; i < a.found.size(); ++i) {
    EXPECT_EQ(chosen_options(a.found[i].options, a.found[i].plan),
              chosen_options(b.found[i].options, b.found[i].plan));
  }
}

}  // namespace
}  // namespace masformer
