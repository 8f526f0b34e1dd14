// Compares random layouts with one rank. They are drawn from the product of all meshes, schedules
// and chunks, partitions (even or not), numbers of micro-batches (that fill the pipeline or not),
// tied and untied heads, with and without sequence parallelism, recomputation, dtypes, orders of
// context ranks, and with and without a document mask. The kind of positions is drawn for each. The
// sample changes every day and is the same on all ranks. MASFORMER_LAYOUT_SAMPLE is the number of
// layouts, or "all". MASFORMER_LAYOUT_LIKE=TEXT selects only layouts whose description, as printed
// in failures, contains TEXT.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/random.h"
#include "tests/support/day_sample.h"
#include "tests/support/has_bf16.h"
#include "tests/support/layout_comparison.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

// A layer for every part, and if there are few parts, one more.
std::string spans_for(int parts) {
  const std::vector<std::string> spans{"full",    "window:5", "block:8",   "window:16",
                                       "block:4", "full",     "window:11", "window:2"};
  const int layers = std::max(std::clamp(parts + 1, 4, static_cast<int>(spans.size())), parts);
  std::string text = spans[0];
  for (int i = 1; i < layers; ++i) text += "," + spans[static_cast<std::size_t>(i) % spans.size()];
  return text;
}

// A model whose heads and width the tensor ranks divide.
LayoutCase model_for(const Mesh& mesh) {
  LayoutCase c{.mesh = mesh};
  c.heads = 8 % mesh.tensor == 0 ? 8 : 6 % mesh.tensor == 0 ? 6 : mesh.tensor;
  c.hidden = c.heads * 6;
  if (mesh.context > 1) c.sequence = 16 * mesh.context;
  return c;
}

std::vector<LayoutCase> with_each(const std::vector<LayoutCase>& all, auto values, auto change) {
  std::vector<LayoutCase> product;
  for (const LayoutCase& c : all) {
    for (const auto& value : values) {
      product.push_back(c);
      change(product.back(), value);
    }
  }
  return product;
}

std::vector<LayoutCase> factorisations(int ranks) {
  std::vector<LayoutCase> all;
  for (int tensor = 1; tensor <= ranks; ++tensor) {
    for (int pipe = 1; pipe <= ranks / tensor; ++pipe) {
      for (int context = 1; context <= ranks / tensor / pipe; ++context) {
        if (ranks % (tensor * pipe * context) != 0) continue;
        const int data = ranks / (tensor * pipe * context);
        all.push_back(
            model_for({.pipe = pipe, .data = data, .context = context, .tensor = tensor}));
      }
    }
  }
  return all;
}

int parts_of(const LayoutCase& c) {
  return c.mesh.pipe * chunks_of_schedule(c.schedule, c.chunks);
}

// One block per part, and all remaining blocks in the first or the last part.
std::string uneven_partition(const LayoutCase& c, bool first) {
  const auto layers = 1 + static_cast<int>(std::ranges::count(c.spans, ','));
  const std::string heavy = std::to_string(layers - parts_of(c) + 1);
  std::string ones = "1";
  for (int part = 2; part < parts_of(c); ++part) ones += ",1";
  return first ? heavy + "," + ones : ones + "," + heavy;
}

// Every schedule with its own number of chunks, and with 3 those that take them.
std::vector<std::pair<std::string, int>> schedules_and_chunks() {
  std::vector<std::pair<std::string, int>> all;
  for (const ScheduleKind& kind : schedule_kinds()) {
    all.emplace_back(kind.name, 0);
    if (kind.min_chunks <= 3 && kind.max_chunks >= 3) all.emplace_back(kind.name, 3);
  }
  return all;
}

std::vector<LayoutCase> whole_product(int ranks) {
  auto all = factorisations(ranks);
  all = with_each(all, schedules_and_chunks(), [](auto& c, const auto& schedule) {
    std::tie(c.schedule, c.chunks) = schedule;
    c.spans = spans_for(parts_of(c));
  });
  all = with_each(all, std::vector{"even", "first", "last"}, [](auto& c, std::string_view heavy) {
    if (heavy != "even") c.partition = uneven_partition(c, heavy == "first");
  });
  std::erase_if(all, [](const LayoutCase& c) { return c.mesh.pipe == 1 && c.partition != "even"; });
  // Micro-batches: one, as many as stages, and more that are not a multiple of the stages.
  all = with_each(all, std::vector{0, 1, 2}, [](auto& c, int fill) {
    c.samples = c.mesh.data * (fill == 0 ? 1 : fill == 1 ? c.mesh.pipe : 2 * c.mesh.pipe + 1);
  });
  all = with_each(all, std::vector{true, false}, [](auto& c, bool tied) { c.tied = tied; });
  all = with_each(all, std::vector{true, false},
                  [](auto& c, bool shared) { c.sequence_parallel = shared; });
  all = with_each(all, std::vector{"none", "selective", "block"},
                  [](auto& c, auto recompute) { c.recompute = recompute; });
  all = with_each(all, std::vector{DType::f32, DType::bf16},
                  [](auto& c, DType dtype) { c.dtype = dtype; });
  all = with_each(all, std::vector{"contiguous", "zigzag"},
                  [](auto& c, auto order) { c.order = order; });
  all = with_each(all, std::vector{"", "7,5,1"},
                  [](auto& c, auto documents) { c.documents = documents; });
  all = with_each(all, std::vector{"ring", "heads"}, [](auto& c, auto full) { c.full = full; });
  std::erase_if(all, [](const LayoutCase& c) {
    return (c.mesh.tensor == 1 && !c.sequence_parallel) ||
           (c.mesh.context == 1 && (c.order != "contiguous" || c.full != "ring")) ||
           (c.full == "heads" && c.heads / c.mesh.tensor % c.mesh.context != 0);
  });
  drop_bf16_unless_possible(all);
  return all;
}

// A kind of positions for each layout. It changes every day, too: a factor of the product would
// make "all" take three times as long.
void draw_positions(std::uint64_t day, std::vector<LayoutCase>& all) {
  constexpr PositionsKind kinds[] = {PositionsKind::learned, PositionsKind::rotary,
                                     PositionsKind::none};
  for (std::size_t i = 0; i < all.size(); ++i) all[i].positions = kinds[mix(day, i) % 3];
}

TEST(LayoutSample, ComputesWhatOneRankComputes) {
  const std::uint64_t day = std::stoull(world().all_gather(std::to_string(today()))[0]);
  std::vector<LayoutCase> all = whole_product(world().size());
  draw_positions(day, all);
  if (const char* const text = std::getenv("MASFORMER_LAYOUT_LIKE")) {
    std::erase_if(all, [&](const LayoutCase& c) {
      return testing::PrintToString(c).find(text) == std::string::npos;
    });
  }
  all = sample(all, "MASFORMER_LAYOUT_SAMPLE", 6, day);
  share_one_rank_records(all);
  for (const LayoutCase& c : all) {
    SCOPED_TRACE(testing::Message() << c);
    const auto differences =
        c.dtype == DType::bf16 ? differences_in_bf16(c) : differences_from_one_rank(c);
    for (const std::string& difference : differences) ADD_FAILURE() << difference;
  }
}

}  // namespace
}  // namespace masformer::test
