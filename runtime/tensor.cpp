#include "runtime/tensor.h"

#include <utility>
#include <vector>

#include "runtime/error.h"

namespace masformer {
namespace {

Shape row_major_strides(const Shape& shape) {
  Shape strides = shape;
  std::int64_t step = 1;
  for (int dim = shape.dims() - 1; dim >= 0; --dim) {
    strides[dim] = step;
    step *= shape[dim];
  }
  return strides;
}

// Evenly spaced elements.
struct Run {
  std::int64_t extent, stride;
};

// The runs of a view in memory, from the last dimension outwards. Dimensions that continue each
// other are one run, and dimensions of extent 1 are left out.
std::vector<Run> runs_of(const Shape& shape, const Shape& strides) {
  std::vector<Run> runs = {{1, 1}};
  for (int dim = shape.dims() - 1; dim >= 0; --dim) {
    Run& run = runs.back();
    if (shape[dim] == 1) continue;
    if (strides[dim] == run.extent * run.stride) {
      run.extent *= shape[dim];
    } else {
      runs.push_back({shape[dim], strides[dim]});
    }
  }
  return runs;
}

}  // namespace

std::int64_t size_of(DType dtype) {
#define MASFORMER_SIZE_OF(value, name, type) \
  case DType::value:                         \
    return std::int64_t{sizeof(type)};
  switch (dtype) { MASFORMER_DTYPES(MASFORMER_SIZE_OF) }
#undef MASFORMER_SIZE_OF
  fail("unknown dtype {}", static_cast<int>(dtype));
}

Tensor::Tensor(void* data, Shape shape, DType dtype, Device device)
    : data_(data),
      shape_(shape),
      strides_(row_major_strides(shape)),
      dtype_(dtype),
      device_(device) {}

bool Tensor::contiguous() const {
  return elements() == 0 || runs_of(shape_, strides_).size() == 1;
}

bool Tensor::aligned(std::int64_t bytes) const {
  return reinterpret_cast<std::uintptr_t>(data_) % static_cast<std::uintptr_t>(bytes) == 0;
}

bool Tensor::rows_aligned(std::int64_t bytes) const {
  for (int dim = 0; dim + 1 < dims(); ++dim) {
    if (stride(dim) * size_of(dtype_) % bytes != 0) return false;
  }
  return aligned(bytes);
}

Tensor Tensor::slice(int dim, std::int64_t begin, std::int64_t count) const {
  require(dim >= 0 && dim < dims() && begin >= 0 && count >= 0 && begin + count <= shape_[dim],
          "slice [{}, {}) of dimension {} is not within {}", begin, begin + count, dim, shape_);
  Tensor part = *this;
  part.data_ = static_cast<char*>(data_) + begin * strides_[dim] * size_of(dtype_);
  part.shape_[dim] = count;
  return part;
}

Tensor Tensor::swapped(int a, int b) const {
  require(a >= 0 && a + 1 < dims() && b >= 0 && b + 1 < dims(),
          "dimensions {} and {} of {} can't be swapped: both must be before the last", a, b,
          shape_);
  Tensor view = *this;
  std::swap(view.shape_[a], view.shape_[b]);
  std::swap(view.strides_[a], view.strides_[b]);
  return view;
}

Tensor Tensor::reshape(const Shape& shape) const {
  require(shape.elements() == elements(), "{} cannot be viewed as {}", shape_, shape);
  Tensor view = *this;
  view.shape_ = shape;
  view.strides_ = row_major_strides(shape);
  if (elements() == 0) return view;
  // From the last dimension to the first, each new dimension is cut from the innermost run that is
  // left.
  const std::vector<Run> runs = runs_of(shape_, strides_);
  auto next = runs.begin();
  Run left = *next++;
  for (int dim = shape.dims() - 1; dim >= 0; --dim) {
    const std::int64_t extent = shape[dim];
    if (left.extent == 1 && extent > 1 && next != runs.end()) left = *next++;
    const bool dense = dim < shape.dims() - 1 || left.stride == 1;
    require(left.extent % extent == 0 && dense, "the strides of {} permit no view as {}", shape_,
            shape);
    view.strides_[dim] = left.stride;
    left = {left.extent / extent, left.stride * extent};
  }
  return view;
}

void Tensor::check_type(DType wanted) const {
  require(dtype_ == wanted, "a tensor of {} is used as one of {}", name_of(dtype_),
          name_of(wanted));
}

}  // namespace masformer
