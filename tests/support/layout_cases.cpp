#include "tests/support/layout_cases.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer::test {
namespace {

// Cases for the fake of CUDA, which is slow: each axis alone and with another, on small tensors.
// The axes that divide attention have rotary positions.
std::vector<LayoutCase> small_cases() {
  std::vector<LayoutCase> all;
  for (const Mesh& mesh :
       {Mesh{}, Mesh{.tensor = 2}, Mesh{.pipe = 2}, Mesh{.data = 2}, Mesh{.context = 2},
        Mesh{.pipe = 2, .tensor = 2}, Mesh{.pipe = 2, .data = 2}, Mesh{.context = 4}}) {
    all.push_back({.mesh = mesh,
                   .samples = 4,
                   .sequence = mesh.context > 1 ? 16 : 9,
                   .hidden = 16,
                   .heads = 2,
                   .spans = "full,window:5",
                   .positions = mesh.tensor * mesh.context > 1 ? PositionsKind::rotary
                                                               : PositionsKind::learned});
  }
  for (const std::string order : {"contiguous", "zigzag"}) {
    all.push_back({.mesh = {.context = 2},
                   .samples = 2,
                   .micro_batch = 2,
                   .sequence = 16,
                   .hidden = 16,
                   .heads = 2,
                   .spans = "full,window:5",
                   .order = order,
                   .documents = "5,1,4"});
  }
  for (std::size_t i = 0, given = all.size(); i < given; ++i) {
    if (all[i].mesh.size() <= 2 && all[i].mesh.pipe == 1) {
      all.push_back(all[i]);
      all.back().ffn_block = 4;
    }
    if (all[i].mesh.context > 1) {
      all.push_back(all[i]);
      all.back().full = "heads", all.back().heads = 4, all.back().order = "zigzag";
    }
  }
  return all;
}

// MLPs by blocks of tokens: that divide the tokens and that don't, of one token and of all, with
// every axis, and where blocks cross the borders of samples and of tensor ranks.
std::vector<LayoutCase> ffn_block_cases() {
  return {{.mesh = {}, .samples = 4, .micro_batch = 2, .ffn_block = 7},
          {.mesh = {}, .samples = 2, .ffn_block = 33},
          {.mesh = {.tensor = 2}, .samples = 4, .ffn_block = 11},
          {.mesh = {.tensor = 2}, .samples = 4, .micro_batch = 2, .ffn_block = 1},
          {.mesh = {.data = 2}, .samples = 4, .ffn_block = 8},
          {.mesh = {.context = 2}, .samples = 2, .sequence = 48, .order = "zigzag", .ffn_block = 9},
          {.mesh = {.pipe = 2, .tensor = 2}, .samples = 6, .ffn_block = 10},
          {.mesh = {.context = 2, .tensor = 2}, .samples = 2, .sequence = 48, .ffn_block = 5},
          {.mesh = {.pipe = 2, .data = 2}, .schedule = "v", .samples = 4, .ffn_block = 32}};
}

// The sequence over several ranks: windows narrower than a rank's share, as wide, and wider, of one
// token, and blocks whose borders are inside of a share; alone and with every other axis.
std::vector<LayoutCase> context_cases() {
  std::vector<LayoutCase> all;
  for (const std::string order : {"contiguous", "zigzag"}) {
    const auto add = [&](LayoutCase c) {
      c.order = order;
      all.push_back(std::move(c));
    };
    for (const int ranks : {2, 3, 4, 8}) {
      add({.mesh = {.context = ranks}, .samples = 2, .sequence = 48});
      add({.mesh = {.context = ranks},
           .samples = 2,
           .micro_batch = 2,
           .tied = false,
           .sequence = 48,
           .spans = "window:1,window:13,window:24,window:30,block:5,block:24,full"});
    }
    add({.mesh = {.context = 2}, .samples = 2, .sequence = 4, .spans = "window:2,full"});
    add({.mesh = {.context = 2}, .samples = 2, .sequence = 48, .spans = "window:9,block:7"});
    add({.mesh = {.context = 2}, .samples = 2, .sequence = 48, .spans = "full*2"});
    add({.mesh = {.context = 2, .tensor = 2}, .samples = 4, .micro_batch = 2, .sequence = 24});
    add({.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .samples = 6, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .schedule = "v", .samples = 6, .sequence = 24});
    add({.mesh = {.context = 3, .tensor = 2}, .samples = 2, .sequence = 48, .hidden = 24});
    add({.mesh = {.pipe = 2, .context = 2, .tensor = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .data = 2, .context = 2}, .samples = 4, .sequence = 24});
  }
  return all;
}

// Packed documents: of a few tokens beside a long one, so many of one token that a context rank has
// no label, and one that is the whole sample.
std::vector<LayoutCase> document_cases() {
  std::vector<LayoutCase> all;
  for (const std::string documents : {"7,5,1", "1*26,3", "48"}) {
    all.push_back({.mesh = {.data = 2}, .sequence = 48, .documents = documents});
    all.push_back(
        {.mesh = {.tensor = 2}, .micro_batch = 2, .sequence = 48, .documents = documents});
    for (const std::string order : {"contiguous", "zigzag"}) {
      for (const Mesh& mesh :
           {Mesh{.context = 2}, Mesh{.context = 3}, Mesh{.context = 4}, Mesh{.context = 8},
            Mesh{.context = 2, .tensor = 2}, Mesh{.pipe = 2, .context = 2},
            Mesh{.data = 2, .context = 2}, Mesh{.pipe = 2, .data = 2, .context = 2}}) {
        all.push_back({.mesh = mesh,
                       .samples = 4,
                       .micro_batch = 2,
                       .sequence = 48,
                       .spans = "full,window:1,window:13,window:30,block:5,block:24",
                       .order = order,
                       .documents = documents});
      }
    }
  }
  for (std::size_t i = 0, given = all.size(); i < given; ++i) {
    if (all[i].mesh.context != 2 && all[i].mesh.context != 4) continue;
    all.push_back(all[i]);
    all.back().full = "heads";
  }
  return all;
}

// Rotary positions, along each axis and pairs of them.
std::vector<LayoutCase> rotary_cases() {
  std::vector<LayoutCase> all{{.mesh = {}, .micro_batch = 2},
                              {.mesh = {.tensor = 2}, .micro_batch = 2},
                              {.mesh = {.tensor = 4}, .samples = 4, .tied = false},
                              {.mesh = {.pipe = 2}, .schedule = "v", .samples = 6},
                              {.mesh = {.data = 2}},
                              {.mesh = {.pipe = 2, .data = 2}, .tied = false},
                              {.mesh = {.pipe = 2, .tensor = 2}, .samples = 4, .micro_batch = 2}};
  for (const std::string order : {"contiguous", "zigzag"}) {
    const auto add = [&](LayoutCase c) {
      c.order = order;
      all.push_back(std::move(c));
    };
    for (const int ranks : {2, 3, 4}) {
      add({.mesh = {.context = ranks}, .samples = 2, .micro_batch = 2, .sequence = 48});
    }
    add({.mesh = {.context = 2, .tensor = 2}, .samples = 2, .sequence = 24});
    add({.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .samples = 4, .sequence = 24});
  }
  for (LayoutCase& c : all) {
    c.positions = PositionsKind::rotary;
  }
  return all;
}

// Without positions there is no position table, so only the embedding differs.
std::vector<LayoutCase> cases_without_positions() {
  std::vector<LayoutCase> all{{.mesh = {}},
                              {.mesh = {.tensor = 2}},
                              {.mesh = {.pipe = 2, .tensor = 2}, .samples = 4},
                              {.mesh = {.pipe = 2}, .samples = 4, .tied = false},
                              {.mesh = {.context = 3}, .samples = 2, .sequence = 48},
                              {.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24}};
  for (LayoutCase& c : all) {
    c.positions = PositionsKind::none;
  }
  return all;
}

// Full layers by heads: one per rank and several, beside layers by tokens, and with every other
// axis.
std::vector<LayoutCase> head_cases() {
  std::vector<LayoutCase> all;
  for (const std::string order : {"contiguous", "zigzag"}) {
    const auto add = [&](LayoutCase c) {
      c.order = order, c.full = "heads";
      all.push_back(std::move(c));
    };
    for (const int ranks : {2, 4}) {
      add({.mesh = {.context = ranks}, .samples = 2, .sequence = 48});
      add({.mesh = {.context = ranks},
           .samples = 4,
           .micro_batch = 2,
           .tied = false,
           .sequence = 48,
           .spans = "full*2,window:13,full,block:5,window:30,full"});
      add({.mesh = {.context = ranks},
           .samples = 2,
           .sequence = 16,
           .heads = ranks,
           .spans = "full"});
    }
    add({.mesh = {.context = 3}, .samples = 2, .sequence = 48, .heads = 6});
    add({.mesh = {.context = 2, .tensor = 2}, .samples = 4, .micro_batch = 2, .sequence = 24});
    add({.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .samples = 6, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2},
         .schedule = "v",
         .samples = 4,
         .micro_batch = 2,
         .sequence = 24,
         .ffn_block = 7});
    add({.mesh = {.context = 4, .tensor = 2}, .samples = 2, .sequence = 48});
    add({.mesh = {.pipe = 2, .context = 2, .tensor = 2}, .samples = 4, .sequence = 24});
  }
  return all;
}

// Several chunks and split backwards with every other axis, uneven parts and recomputation, and
// with micro-batches that the stages do not divide.
std::vector<LayoutCase> chunk_cases() {
  const std::string eight = "full,window:5,block:8,window:16,full,window:3*2,full";
  std::vector<LayoutCase> all{
      {.mesh = {}, .schedule = "interleaved", .samples = 3, .chunks = 4},
      {.mesh = {.pipe = 2}, .schedule = "interleaved", .samples = 5, .spans = eight, .chunks = 3},
      {.mesh = {.pipe = 2}, .schedule = "interleaved", .samples = 5, .spans = eight, .chunks = 4},
      {.mesh = {.pipe = 3}, .schedule = "interleaved", .samples = 7, .spans = eight},
      {.mesh = {.pipe = 3}, .schedule = "zero-bubble-v", .samples = 2, .spans = eight},
      {.mesh = {.pipe = 3}, .schedule = "zero-bubble", .partition = "1,2,1", .samples = 7}};
  for (const std::string schedule : {"interleaved", "zero-bubble", "zero-bubble-v"}) {
    const auto add = [&](LayoutCase c) {
      c.schedule = schedule;
      all.push_back(std::move(c));
    };
    add({.mesh = {.pipe = 2, .context = 2}, .samples = 6, .sequence = 24, .order = "zigzag"});
    add({.mesh = {.pipe = 2, .context = 2},
         .samples = 3,
         .recompute = "block",
         .sequence = 48,
         .full = "heads",
         .documents = "7,5,1"});
    add({.mesh = {.pipe = 2, .tensor = 2},
         .samples = 6,
         .micro_batch = 2,
         .recompute = "selective",
         .ffn_block = 10});
    add({.mesh = {.pipe = 2, .data = 2, .tensor = 2},
         .samples = 6,
         .recompute = "block,none,selective,block",
         .positions = PositionsKind::rotary});
    add({.mesh = {.pipe = 4, .data = 2}, .samples = 10, .spans = eight});
    add({.mesh = {.pipe = 2, .context = 2, .tensor = 2}, .samples = 4, .sequence = 24});
  }
  return all;
}

std::vector<LayoutCase> large_cases() {
  std::vector<LayoutCase> all{{.mesh = {}, .micro_batch = 2}};
  const std::string eight = "full,window:5,block:8,window:16,full,window:3*2,full";
  for (const std::string& schedule : schedule_names()) {
    const bool one = chunks_of_schedule(schedule, 0) == 1;  // part per stage
    for (const bool tied : {true, false}) {
      all.push_back({{.tensor = 2}, schedule, "even", 8, 2, tied});
      all.push_back({{.pipe = 2}, schedule, "even", 8, 1, tied});
      // Fewer micro-batches than stages.
      all.push_back({{.pipe = 2}, schedule, one ? "3,1" : "3,1,2,2", 4, 4, tied});
      if (!one) all.back().spans = eight;
      all.push_back({{.pipe = 2, .tensor = 2}, schedule, one ? "1,3" : "1,2,1,4", 8, 2, tied});
      if (!one) all.back().spans = eight;
      all.push_back({{.pipe = 2, .data = 2}, schedule, "even", 8, 1, tied});
      all.push_back({{.pipe = 4}, schedule, "even", 6, 1, tied});
      if (!one) all.back().spans = eight;
    }
  }
  std::ranges::move(chunk_cases(), std::back_inserter(all));
  all.push_back({{.data = 2}, "1f1b", "even", 8, 2});
  all.push_back({{.data = 2, .tensor = 2}, "1f1b", "even", 8, 2});
  all.push_back({{.tensor = 4}, "1f1b", "even", 4, 1, false});
  all.push_back({{.pipe = 3}, "1f1b", "even", 6, 1});
  all.push_back({{.pipe = 2, .data = 3}, "1f1b", "even", 6, 1});
  all.push_back(
      {{.tensor = 8}, "1f1b", "even", 2, 1});  // some ranks hold only padding of the vocabulary
  all.push_back({{.pipe = 2, .data = 2, .tensor = 2}, "1f1b", "even", 4, 1});
  all.push_back({{.pipe = 3}, "gpipe", "1,2,1", 2, 1});
  // Several parts per stage, whose results are sent, or handed over if both parts are on one stage.
  all.push_back({{}, "v", "even", 6, 2});
  all.push_back({{.pipe = 2}, "two chunks", "even", 6, 1});
  all.push_back({{.pipe = 2}, "v", "even", 6, 1});
  all.push_back({{.pipe = 2}, "v", "1,1,1,1", 6, 1, false});
  all.push_back({{.pipe = 2, .data = 2}, "two chunks", "even", 8, 2, false});
  all.push_back({{.pipe = 2, .tensor = 2}, "v", "even", 4, 1});
  all.push_back({.mesh = {.pipe = 2}, .schedule = "three chunks", .samples = 5, .spans = eight});
  all.push_back({.mesh = {.pipe = 4}, .schedule = "v", .samples = 5, .spans = eight});
  // Fewer tokens than tensor ranks, and fewer rows than data ranks: some ranks have none.
  all.push_back({.mesh = {.tensor = 3}, .samples = 2, .sequence = 1, .hidden = 6, .heads = 6});
  all.push_back({.mesh = {.tensor = 4}, .samples = 3, .sequence = 1});
  all.push_back({.mesh = {.data = 6}, .samples = 6, .hidden = 4, .heads = 2});
  all.push_back({.mesh = {.data = 2, .tensor = 4}, .samples = 2, .sequence = 3});
  std::ranges::move(context_cases(), std::back_inserter(all));
  std::ranges::move(document_cases(), std::back_inserter(all));
  std::ranges::move(rotary_cases(), std::back_inserter(all));
  std::ranges::move(cases_without_positions(), std::back_inserter(all));
  std::ranges::move(ffn_block_cases(), std::back_inserter(all));
  std::ranges::move(head_cases(), std::back_inserter(all));
  // The same without sequence parallelism.
  for (std::size_t i = 0, given = all.size(); i < given; ++i) {
    if (all[i].mesh.tensor == 1) continue;
    all.push_back(all[i]);
    all.back().sequence_parallel = false;
  }
  return all;
}

}  // namespace

std::vector<LayoutCase> boundary_cases() {
  std::vector<LayoutCase> all = device() == Device::cpu ? large_cases() : small_cases();
  std::erase_if(all, [](const LayoutCase& c) { return c.mesh.size() != world().size(); });
  return all;
}

std::vector<LayoutCase> cases_to_break() {
  if (world().size() == 2) {
    return {
        {.mesh = {.tensor = 2}, .samples = 4},
        {.mesh = {.context = 2}, .samples = 4, .sequence = 48},
        {.mesh = {.context = 2}, .samples = 4, .sequence = 48, .order = "zigzag"},
        {.mesh = {.context = 2}, .samples = 4, .sequence = 48, .documents = "7,5,9"},
        {.mesh = {.context = 2}, .samples = 4, .sequence = 48, .positions = PositionsKind::rotary},
        {.mesh = {.context = 2},
         .samples = 4,
         .sequence = 48,
         .spans = "full,window:5,full,window:16",
         .full = "heads"}};
  }
  if (world().size() == 4) {
    return {{.mesh = {.pipe = 2, .data = 2}},
            {.mesh = {.context = 4},
             .samples = 4,
             .sequence = 48,
             .spans = "full,window:30,block:20,window:5",
             .order = "zigzag",
             .positions = PositionsKind::rotary},
            {.mesh = {.context = 4},
             .samples = 4,
             .sequence = 48,
             .spans = "full,window:5,full,window:16",
             .full = "heads"}};
  }
  return {};
}

}  // namespace masformer::test
