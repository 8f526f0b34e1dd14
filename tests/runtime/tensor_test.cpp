#include "runtime/tensor.h"

#include <functional>
#include <numeric>
#include <optional>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/stream.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

// All shapes of `elements` elements and up to four dimensions.
std::vector<Shape> shapes_of(std::int64_t elements) {
  std::vector<Shape> shapes;
  const std::function<void(std::vector<std::int64_t>, std::int64_t)> extend =
      [&](const std::vector<std::int64_t>& head, std::int64_t rest) {
        if (rest == 1) shapes.emplace_back(head);
        if (head.size() == Shape::max_dims) return;
        for (std::int64_t extent = 1; extent <= rest; ++extent) {
          if (rest % extent != 0) continue;
          std::vector<std::int64_t> longer = head;
          longer.push_back(extent);
          extend(longer, rest / extent);
        }
      };
  extend({}, elements);
  return shapes;
}

// The offsets of all elements in row-major order: the definition of a view.
std::vector<std::int64_t> offsets(const Tensor& tensor, const void* base) {
  std::vector<std::int64_t> result;
  for_each_element(tensor, [&](const float& x, std::int64_t) {
    result.push_back(&x - static_cast<const float*>(base));
  });
  return result;
}

// Whether a tensor of `shape` with evenly spaced dimensions, the last one dense, can have its
// elements at `places`. The stride of each dimension follows from its second element.
bool is_a_view(const Shape& shape, const std::vector<std::int64_t>& places) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(shape.dims()));
  std::int64_t step = 1;
  for (int dim = shape.dims() - 1; dim >= 0; --dim) {
    strides[static_cast<std::size_t>(dim)] =
        shape[dim] > 1 ? places[static_cast<std::size_t>(step)] - places[0] : 1;
    step *= shape[dim];
  }
  if (shape.dims() > 0 && strides.back() != 1) return false;
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::int64_t rest = static_cast<std::int64_t>(i), place = places[0];
    for (int dim = shape.dims() - 1; dim >= 0; --dim) {
      place += rest % shape[dim] * strides[static_cast<std::size_t>(dim)];
      rest /= shape[dim];
    }
    if (place != places[i]) return false;
  }
  return true;
}

// The last rows along each dimension, for each count, and of these the first half along each
// dimension. Also with every two dimensions before the last swapped.
std::vector<Tensor> parts_of(const Tensor& base) {
  std::vector<Tensor> parts;
  for (int dim = 0; dim < base.dims(); ++dim) {
    for (std::int64_t count = 1; count <= base.dim(dim); ++count) {
      for (int other = 0; other < base.dims(); ++other) {
        const std::int64_t half = (base.slice(dim, 0, count).dim(other) + 1) / 2;
        const Tensor part = base.slice(dim, base.dim(dim) - count, count).slice(other, 0, half);
        parts.push_back(part);
        for (int b = 0; b + 1 < part.dims(); ++b) {
          for (int a = 0; a < b; ++a) parts.push_back(part.swapped(a, b));
        }
      }
    }
  }
  return parts;
}

TEST(Tensor, ReshapesExactlyWhereAViewExists) {
  int views = 0, refused = 0;
  for (const Shape& outer : {Shape{4, 6}, Shape{2, 3, 4}, Shape{3, 2, 2, 4}, Shape{1, 4, 6},
                             Shape{4, 1, 6}, Shape{2, 2, 3, 1}, Shape{12}}) {
    const OwnedTensor base(outer);
    for (const Tensor& part : parts_of(base)) {
      const auto places = offsets(part, base->raw());
      for (const Shape& shape : shapes_of(part.elements())) {
        const std::string what =
            part.shape().to_string() + " of " + outer.to_string() + " as " + shape.to_string();
        if (!is_a_view(shape, places)) {
          ++refused;
          EXPECT_THROW(static_cast<void>(part.reshape(shape)), Error) << what;
          continue;
        }
        ++views;
        ASSERT_NO_THROW(static_cast<void>(part.reshape(shape))) << what;
        EXPECT_EQ(offsets(part.reshape(shape), base->raw()), places) << what;
        EXPECT_EQ(part.reshape(shape).shape(), shape);
      }
    }
  }
  EXPECT_GT(views, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(Tensor, IsContiguousIfItsElementsAreOneRun) {
  const OwnedTensor base({4, 6});
  EXPECT_TRUE(base->contiguous());
  EXPECT_TRUE(base->slice(0, 1, 2).contiguous());
  EXPECT_FALSE(base->slice(1, 0, 5).contiguous());
  EXPECT_TRUE(base->slice(0, 2, 1).slice(1, 1, 3).contiguous()) << "one row has no gaps";
  EXPECT_TRUE(base->slice(1, 2, 0).contiguous()) << "nor has nothing";
}

TEST(Tensor, SplitsFusedProjectionsIntoHeads) {
  // [tokens, 3, heads, dim] as one row each; the middle third as [batch, sequence, heads, dim].
  const OwnedTensor qkv = normals({6, 3 * 8}, 1);
  const Tensor k = qkv->slice(1, 8, 8).reshape({2, 3, 4, 2});
  EXPECT_EQ(k.stride(0), 72);
  EXPECT_EQ(k.stride(1), 24);
  EXPECT_EQ(k.stride(2), 2);
  EXPECT_EQ(values(k)[8 * 4 + 5], values(qkv)[24 * 4 + 8 + 5]);
}

// Keys as they arrive from another rank, position before sample, as [batch, keys, heads, dim].
TEST(Tensor, SplitsRowsIntoHeadsAfterASwap) {
  const OwnedTensor rows = normals({5, 2, 12}, 1);
  const Tensor swapped = rows->swapped(0, 1);
  EXPECT_EQ(swapped.shape(), (Shape{2, 5, 12}));
  const Tensor heads = swapped.reshape({2, 5, 3, 4});
  EXPECT_EQ(heads.stride(0), 12);
  EXPECT_EQ(heads.stride(1), 24);
  EXPECT_EQ(heads.stride(2), 4);
  for (std::int64_t key = 0; key < 5; ++key) {
    for (std::int64_t sample = 0; sample < 2; ++sample) {
      EXPECT_EQ(values(heads.slice(0, sample, 1).slice(1, key, 1)),
                values(rows->slice(0, key, 1).slice(1, sample, 1)));
    }
  }
  EXPECT_EQ(values(swapped.swapped(1, 0)), values(rows));
}

TEST(Tensor, RefusesToSwapTheLastDimension) {
  const OwnedTensor base({2, 3, 4});
  EXPECT_THROW(static_cast<void>(base->swapped(0, 2)), Error);
  EXPECT_THROW(static_cast<void>(base->swapped(2, 1)), Error);
  EXPECT_THROW(static_cast<void>(base->swapped(-1, 0)), Error);
}

TEST(Tensor, ReshapesEmptyTensors) {
  const OwnedTensor base({4, 6});
  EXPECT_EQ(base->slice(1, 1, 0).reshape({0, 7}).elements(), 0);
  EXPECT_THROW(static_cast<void>(base->reshape({5, 5})), Error);
}

TEST(Tensor, RefusesSlicesOutsideItAndOtherTypes) {
  const OwnedTensor base({4, 6});
  EXPECT_THROW(static_cast<void>(base->slice(0, 3, 2)), Error);
  EXPECT_THROW(static_cast<void>(base->slice(0, -1, 2)), Error);
  EXPECT_THROW(static_cast<void>(base->slice(2, 0, 1)), Error);
  EXPECT_THROW(static_cast<void>(base->slice(-1, 0, 1)), Error);
  EXPECT_THROW(static_cast<void>(base->data<double>()), Error);
}

TEST(Shape, ChecksAndPrints) {
  EXPECT_EQ((Shape{2, 3}).to_string(), "[2, 3]");
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ((Shape{2, 0, 3}).elements(), 0);
  EXPECT_THROW((Shape{1, 2, 3, 4, 5}), Error);
  EXPECT_THROW((Shape{2, -1}), Error);
}

TEST(Stream, RefusesZeroThreadsAndTensorsOfOtherDevices) {
  EXPECT_THROW(Stream(Device::cpu, 0), Error);
  EXPECT_THROW(require_same_device(Stream(Device::cuda), OwnedTensor({1})), Error);
}

}  // namespace
}  // namespace masformer
