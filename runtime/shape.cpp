#include "runtime/shape.h"

#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {

Shape::Shape(std::initializer_list<std::int64_t> extents)
    : Shape(std::span(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const std::int64_t> extents) : dims_(static_cast<int>(extents.size())) {
  require(dims_ <= max_dims, "a shape has {} dimensions, more than {}", dims_, max_dims);
  for (int dim = 0; dim < dims_; ++dim) {
    require(extents[static_cast<std::size_t>(dim)] >= 0, "negative extent in shape [{}]",
            fmt::join(extents, ", "));
    (*this)[dim] = extents[static_cast<std::size_t>(dim)];
  }
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (int dim = 0; dim < dims_; ++dim) product *= (*this)[dim];
  return product;
}

std::vector<std::int64_t> Shape::vector() const {
  return {extents().begin(), extents().end()};
}

std::span<const std::int64_t> Shape::extents() const {
  return {extents_.data(), static_cast<std::size_t>(dims_)};
}

std::string Shape::to_string() const {
  return fmt::format("{}", *this);
}

}  // namespace masformer

fmt::format_context::iterator fmt::formatter<masformer::Shape>::format(
    const masformer::Shape& shape, fmt::format_context& context) const {
  return fmt::format_to(context.out(), "[{}]", fmt::join(shape.extents(), ", "));
}
