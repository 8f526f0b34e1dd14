#include "runtime/ops/strided_rows.h"

#include <bit>
#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;
using std::int64_t;

// How a tensor [B, R, W] lies in memory that is filled with NaN.
enum class Layout { contiguous, swapped, odd_gaps, aligned_gaps, swapped_gaps };
constexpr Layout layouts[] = {Layout::contiguous, Layout::swapped, Layout::odd_gaps,
                              Layout::aligned_gaps, Layout::swapped_gaps};

struct Field {
  Field(Layout layout, const Shape& shape, DType dtype)
      : memory(poisoned(memory_shape(layout, shape), dtype)), part(memory) {
    if (is_swapped(layout)) part = part.swapped(0, 1);
    if (gap(layout) > 0) part = part.slice(1, 1, shape[1]).slice(2, gap(layout), shape[2]);
  }

  // Whether nothing outside the part was written, and all of the part.
  bool only_the_part_is_written() const {
    const auto count = [](const Tensor& x) {
      int64_t numbers = 0;
      for (const double number : values(x)) numbers += std::isnan(number) ? 0 : 1;
      return numbers;
    };
    return count(memory) == part.elements() && count(part) == part.elements();
  }

  OwnedTensor memory;
  Tensor part;

 private:
  static bool is_swapped(Layout layout) {
    return layout == Layout::swapped || layout == Layout::swapped_gaps;
  }
  static int64_t gap(Layout layout) {
    if (layout == Layout::odd_gaps) return 1;
    return layout == Layout::aligned_gaps || layout == Layout::swapped_gaps ? 8 : 0;
  }
  static Shape memory_shape(Layout layout, const Shape& shape) {
    Shape wide = shape;
    if (gap(layout) > 0) wide = {shape[0], shape[1] + 1, shape[2] + 2 * gap(layout)};
    return is_swapped(layout) ? Shape{wide[1], wide[0], wide[2]} : wide;
  }
};

float as(DType dtype, double x) {
  const auto number = static_cast<float>(x);
  return dtype == DType::bf16 ? static_cast<float>(bfloat16(number)) : number;
}

// The dtype of `from`, that of `to`, and threads.
class StridedRows : public testing::TestWithParam<std::tuple<DType, DType, int>> {
 protected:
  // Calls work(from, to) with normals in both, for every pair of layouts and all sizes.
  template <class Work>
  static void for_each_case(const Work& work) {
    for (const Shape& shape : {Shape{1, 1, 1}, Shape{2, 3, 7}, Shape{3, 2, 8}, Shape{2, 5, 64},
                               Shape{3, 37, 24}, Shape{1, 2, 257}, Shape{2, 1, 2056}}) {
      for (const Layout from_layout : layouts) {
        for (const Layout to_layout : layouts) {
          SCOPED_TRACE(shape.to_string() + " layouts " +
                       std::to_string(static_cast<int>(from_layout)) + " and " +
                       std::to_string(static_cast<int>(to_layout)));
          const Field from(from_layout, shape, std::get<0>(GetParam()));
          const Field to(to_layout, shape, std::get<1>(GetParam()));
          set_normals(from.part, 1);
          work(from, to);
        }
      }
    }
  }

  const Stream stream{device(), std::get<2>(GetParam())};
};

TEST_P(StridedRows, AreCopiedAndRoundedOnce) {
  for_each_case([&](const Field& from, const Field& to) {
    Numbers expected = values(from.part);
    for (double& number : expected) number = double(as(to.part.dtype(), number));
    copy_rows(stream, from.part, to.part);
    EXPECT_EQ(values(to.part), expected);
    EXPECT_TRUE(to.only_the_part_is_written());
    EXPECT_TRUE(from.only_the_part_is_written());
  });
}

TEST_P(StridedRows, AreAddedInFp32AndRoundedOnce) {
  for_each_case([&](const Field& from, const Field& to) {
    set_normals(to.part, 2, 100);  // larger numbers, so that bits of `from` are rounded away
    Numbers expected = sum(values(from.part), values(to.part));
    for (double& number : expected) number = double(as(to.part.dtype(), number));
    add_rows(stream, from.part, to.part);
    EXPECT_EQ(values(to.part), expected);
    EXPECT_TRUE(to.only_the_part_is_written());
    EXPECT_TRUE(from.only_the_part_is_written());
  });
}

INSTANTIATE_TEST_SUITE_P(Dtypes, StridedRows,
                         testing::Combine(testing::Values(DType::f32, DType::bf16),
                                          testing::Values(DType::f32, DType::bf16),
                                          testing::Values(1, 3)));

// Each element is its index.
template <class T>
void expect_copied(const Shape& shape) {
  const OwnedTensor from(shape, dtype_of<T>());
  const OwnedTensor swapped({shape[1], shape[0], shape[2]}, dtype_of<T>());
  for_each_element<T>(from, [](T& x, int64_t i) { x = static_cast<T>(i); });
  const Tensor to = swapped->swapped(0, 1);
  copy_rows(Stream(device(), 2), from, to);
  for_each_element<T>(to, [](T x, int64_t i) { ASSERT_EQ(x, static_cast<T>(i)); });
}

TEST(CopyRows, CopiesOtherDtypes) {
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{3, 4, 8}}) {
    expect_copied<std::int32_t>(shape);
    expect_copied<double>(shape);
  }
}

TEST(CopyRows, KeepsTheBitsOfNaN) {
  const OwnedTensor from({1, 2, 3}), to({1, 2, 3});
  for_each_element<float>(from, [](float& x, int64_t i) {
    x = std::bit_cast<float>(0x7fa00000U + static_cast<std::uint32_t>(i));
  });
  copy_rows(Stream(device()), from, to);
  EXPECT_TRUE(same_bits(from, to));
}

TEST(StridedRowsOfNothing, AreNoWork) {
  const Stream stream(device(), 2);
  for (const Shape& shape : {Shape{0, 3, 4}, Shape{2, 0, 4}, Shape{2, 3, 0}}) {
    const OwnedTensor from(shape), to(shape), narrow(shape, DType::bf16);
    EXPECT_NO_THROW(copy_rows(stream, from, to));
    EXPECT_NO_THROW(copy_rows(stream, from, narrow));
    EXPECT_NO_THROW(add_rows(stream, from, to));
  }
}

TEST(StridedRowsChecks, RefuseOtherShapesAndDtypes) {
  const Stream stream(device());
  const OwnedTensor x({2, 3, 4}), flat({6, 4}), integers({2, 3, 4}, DType::i32);
  EXPECT_THROW(copy_rows(stream, x, x->swapped(0, 1)), Error);
  EXPECT_THROW(copy_rows(stream, flat, flat), Error);
  EXPECT_THROW(copy_rows(stream, x, integers), Error);
  EXPECT_THROW(add_rows(stream, x, x->swapped(0, 1)), Error);
  EXPECT_THROW(add_rows(stream, integers, integers), Error);
}

}  // namespace
}  // namespace masformer
