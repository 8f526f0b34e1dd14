#include "parallel/checkpoint/compare.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {
namespace {

constexpr std::int64_t max_elements = std::int64_t{1} << 18;  // per read: 1 MiB on each side

// Halves the box along its first divisible dimension until the parts are small. The parts are
// contiguous in memory.
void for_each_part(const Hyperslab& box, const std::function<void(const Hyperslab&)>& visit) {
  if (box.elements() <= max_elements) return visit(box);
  std::size_t dim = 0;
  while (box.shape[dim] == 1) ++dim;
  Hyperslab low = box;
  Hyperslab high = box;
  low.shape[dim] = box.shape[dim] / 2;
  high.offset[dim] += low.shape[dim];
  high.shape[dim] -= low.shape[dim];
  for_each_part(low, visit);
  for_each_part(high, visit);
}

// Sums of squares of a - b and of b. Each is summed in several lanes, so that an addition need not
// wait for the one before it.
class Squares {
 public:
  void add(const std::vector<float>& a, const std::vector<float>& b, std::int64_t count) {
    const auto end = static_cast<std::size_t>(count);
    std::size_t i = 0;
    for (; i + lanes <= end; i += lanes) {
      for (std::size_t lane = 0; lane < lanes; ++lane) add(lane, a[i + lane], b[i + lane]);
    }
    for (; i < end; ++i) add(i % lanes, a[i], b[i]);
  }
  double difference() const { return std::accumulate(difference_.begin(), difference_.end(), 0.0); }
  double reference() const { return std::accumulate(reference_.begin(), reference_.end(), 0.0); }

 private:
  static constexpr std::size_t lanes = 8;

  void add(std::size_t lane, float a, float b) {
    // NaN - NaN and inf - inf are NaN, but equal bits count as no difference.
    const bool same = std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
    const double reference = b;
    const double difference = same ? 0.0 : a - reference;
    difference_[lane] += difference * difference;
    reference_[lane] += reference * reference;
  }

  std::array<double, lanes> difference_{};
  std::array<double, lanes> reference_{};
};

void read(CheckpointReader& reader, const std::string& name, const Hyperslab& part,
          std::vector<float>& values) {
  values.resize(std::max(values.size(), static_cast<std::size_t>(part.elements())));
  reader.read(name, part, Tensor(values.data(), Shape(part.shape), DType::f32, Device::cpu));
}

double relative_difference(CheckpointReader& a, CheckpointReader& b, const std::string& name) {
  Squares squares;
  std::vector<float> from_a;
  std::vector<float> from_b;
  for_each_part(whole(b.manifest().tensors.at(name).shape), [&](const Hyperslab& part) {
    read(a, name, part, from_a);
    read(b, name, part, from_b);
    squares.add(from_a, from_b, part.elements());
  });
  if (squares.difference() == 0) return 0;
  if (!std::isfinite(squares.difference() + squares.reference())) {
    return std::numeric_limits<double>::max();
  }
  if (squares.reference() == 0) return 1;
  return std::sqrt(squares.difference() / squares.reference());
}

// Appends the tensors of `a` that `b` lacks and, with `shapes`, those that differ in shape.
void list_mismatches(const CheckpointReader& a, const CheckpointReader& b, bool shapes,
                     std::vector<std::string>& mismatches) {
  for (const auto& [name, tensor] : a.manifest().tensors) {
    const auto other = b.manifest().tensors.find(name);
    if (other == b.manifest().tensors.end()) {
      mismatches.push_back(fmt::format("{} is not in {}", name, b.directory().string()));
    } else if (shapes && other->second.shape != tensor.shape) {
      mismatches.push_back(fmt::format(
          "{} is [{}] in {} and [{}] in {}", name, fmt::join(tensor.shape, ", "),
          a.directory().string(), fmt::join(other->second.shape, ", "), b.directory().string()));
    }
  }
}

}  // namespace

std::map<std::string, double> compare(CheckpointReader& a, CheckpointReader& b) {
  std::vector<std::string> mismatches;
  list_mismatches(a, b, true, mismatches);
  list_mismatches(b, a, false, mismatches);
  if (!mismatches.empty()) {
    refuse("the checkpoints hold different tensors:\n  {}", fmt::join(mismatches, "\n  "));
  }
  std::map<std::string, double> differences;
  for (const auto& [name, tensor] : b.manifest().tensors) {
    differences[name] = relative_difference(a, b, name);
  }
  return differences;
}

}  // namespace masformer
