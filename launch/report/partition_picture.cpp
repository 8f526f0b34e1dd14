#include "launch/report/partition_picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "launch/plan/markup.h"
#include "launch/report/units.h"

namespace masformer {
namespace {

using Json = nlohmann::json;

struct CostlyBlock {
  std::string name, span;
  std::optional<int> stage;
  double seconds = 0;
};

// The parts take them in turn, and their stages' numbers are below the bars. They are greys,
// because the timeline above has a colour for each kind of action.
constexpr std::array<std::string_view, 2> part_colours{"#66707c", "#98a2ae"};

// The value of a key in a list at that place, if it has this type.
template <class T>
std::optional<T> entry(const Json& plan, const char* key, std::size_t place) {
  if (!plan.contains(key) || !plan[key].is_array() || place >= plan[key].size())
    return std::nullopt;
  try {
    return plan[key][place].get<T>();
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

// In the order of the model, from the embedding to the head.
std::vector<CostlyBlock> blocks_of(const Json& plan) {
  if (!plan.is_object() || !plan.contains("layer_seconds") || !plan["layer_seconds"].is_array()) {
    return {};
  }
  std::vector<CostlyBlock> blocks;
  for (std::size_t i = 0; i < plan["layer_seconds"].size(); ++i) {
    blocks.push_back({.name = std::to_string(i),
                      .span = entry<std::string>(plan, "layer_spans", i).value_or(""),
                      .stage = entry<int>(plan, "layer_stages", i),
                      .seconds = entry<double>(plan, "layer_seconds", i).value_or(0)});
  }
  const auto end = [&](const char* name, const char* key, const std::optional<int>& stage) {
    const bool is_known = plan.contains(key) && plan[key].is_number();
    return CostlyBlock{name, "", stage, is_known ? plan[key].get<double>() : 0};
  };
  if (blocks.empty()) return {};
  const CostlyBlock first = end("embedding", "embedding_seconds", blocks.front().stage);
  const CostlyBlock last = end("head", "head_seconds", blocks.back().stage);
  blocks.insert(blocks.begin(), first);
  blocks.push_back(last);
  return blocks;
}

std::string stage_text(const std::optional<int>& stage) {
  return stage ? fmt::format("stage {}", *stage) : "";
}

class PartitionPicture {
 public:
  explicit PartitionPicture(const std::vector<CostlyBlock>& blocks) : blocks_(blocks) {
    for (const CostlyBlock& block : blocks) most_ = std::max(most_, block.seconds);
    for (std::size_t i = 1; i < blocks.size(); ++i) {
      const bool is_next = blocks[i].stage != blocks[i - 1].stage;
      colours_.push_back(is_next ? 1 - colours_.back() : colours_.back());
    }
    step_ = std::min(width / static_cast<double>(blocks.size()), 90.0);
  }

  std::string draw() && {
    const double right_end = left + step_ * static_cast<double>(blocks_.size()) + right;
    const double total = std::max(right_end, 420.0);
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"narrow\" role=\"img\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\" font-size=\"12\">\n",
        total, top + bars + below);
    for (std::size_t i = 0; i < blocks_.size(); ++i) add_block(i);
    add_stages();
    return text_ + "</svg>\n";
  }

 private:
  // Pixels.
  static constexpr double left = 12, right = 12, top = 26, width = 1156, bars = 150, below = 48;

  double x(std::size_t place) const { return left + step_ * static_cast<double>(place); }

  void add_block(std::size_t place) {
    const CostlyBlock& block = blocks_[place];
    const double height = most_ > 0 ? bars * block.seconds / most_ : 0, y = top + bars - height;
    text_ += fmt::format(
        "<g><title>{}{}{}: {}</title><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
        "height=\"{:.1f}\" fill=\"{}\"/>",
        escape_markup(block.name), block.span.empty() ? "" : " " + escape_markup(block.span),
        block.stage ? ", " + stage_text(block.stage) : "", duration_text(block.seconds),
        x(place) + 1, y, std::max(step_ - 2, 1.0), height, part_colours[colours_[place]]);
    if (step_ > 52) add_text(place, y - 5, duration_text(block.seconds));
    if (step_ > 20) add_text(place, top + bars + 15, block.name);
    text_ += "</g>\n";
  }

  void add_text(std::size_t place, double y, const std::string& words) {
    text_ += fmt::format(
        "<text class=\"ink\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
        x(place) + step_ / 2, y, escape_markup(words));
  }

  // A line and a number below each run of blocks of one stage.
  void add_stages() {
    constexpr double y = top + bars + 23;
    for (std::size_t begin = 0, end = 0; begin < blocks_.size(); begin = end) {
      while (end < blocks_.size() && blocks_[end].stage == blocks_[begin].stage) ++end;
      if (!blocks_[begin].stage) continue;
      const double extent = step_ * static_cast<double>(end - begin);
      double seconds = 0;
      for (std::size_t i = begin; i < end; ++i) seconds += blocks_[i].seconds;
      std::string words =
          extent > 56 ? stage_text(blocks_[begin].stage) : std::to_string(*blocks_[begin].stage);
      if (extent > 130) words += ": " + duration_text(seconds);
      text_ += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"3\" fill=\"{}\"/>"
          "<text class=\"ink\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
          x(begin) + 1, y, extent - 2, part_colours[colours_[begin]], x(begin) + extent / 2, y + 18,
          words);
    }
  }

  const std::vector<CostlyBlock>& blocks_;
  double most_ = 0, step_ = 0;
  std::vector<std::size_t> colours_{0};  // [block]
  std::string text_;
};

}  // namespace

std::string draw_partition(const Json& plan) {
  const std::vector<CostlyBlock> blocks = blocks_of(plan);
  return blocks.empty() ? "" : PartitionPicture(blocks).draw();
}

TextTable partition_table(const Json& plan) {
  TextTable table{.head = {"block", "span", "stage", "ms per micro-batch", "share"}};
  const std::vector<CostlyBlock> blocks = blocks_of(plan);
  double total = 0;
  for (const CostlyBlock& block : blocks) total += block.seconds;
  for (const CostlyBlock& block : blocks) {
    table.rows.push_back({block.name, block.span, block.stage ? std::to_string(*block.stage) : "",
                          number_text(1e3 * block.seconds),
                          total > 0 ? fmt::format("{:.1f}%", 100 * block.seconds / total) : ""});
  }
  return table;
}

}  // namespace masformer
