// The extents of a tensor: up to four dimensions, stored in place.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace masformer {

class Shape {
 public:
  static constexpr int max_dims = 4;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(std::span<const std::int64_t> extents);

  int dims() const { return dims_; }
  std::int64_t operator[](int dim) const { return extents_[static_cast<std::size_t>(dim)]; }
  std::int64_t& operator[](int dim) { return extents_[static_cast<std::size_t>(dim)]; }
  // The product of the extents; 1 for a shape of no dimensions.
  std::int64_t elements() const;
  std::vector<std::int64_t> vector() const;
  std::span<const std::int64_t> extents() const;  // valid as long as the shape
  std::string to_string() const;

  bool operator==(const Shape&) const = default;

 private:
  std::array<std::int64_t, max_dims> extents_{};
  int dims_ = 0;
};

}  // namespace masformer

// "[2, 3]". For messages: `require` formats a shape only if it fails.
template <>
struct fmt::formatter<masformer::Shape> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  fmt::format_context::iterator format(const masformer::Shape& shape,
                                       fmt::format_context& context) const;
};
