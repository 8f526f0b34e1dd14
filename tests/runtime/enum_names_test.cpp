#include "runtime/enum_names.h"

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/tensor.h"
#include "tests/support/refusal.h"

namespace masformer {

#define MASFORMER_COLORS(COLOR) COLOR(red, "the red one", 1) COLOR(blue, "the blue one", 2)
MASFORMER_NAMED_ENUM(Color, MASFORMER_COLORS);
#undef MASFORMER_COLORS

namespace test {
namespace {

using Names = std::vector<std::string>;

TEST(EnumNames, NamesAreInTheOrderOfTheList) {
  EXPECT_EQ(names_of<Color>(), (Names{"the red one", "the blue one"}));
  EXPECT_EQ(names_of<DType>(), (Names{"fp32", "bf16", "fp64", "int32"}));
}

template <class Enum>
class EveryEnum : public testing::Test {};
using Enums = testing::Types<Color, DType, Device>;
TYPED_TEST_SUITE(EveryEnum, Enums);

TYPED_TEST(EveryEnum, ParsesEachNameBackToItsValue) {
  for (const auto& [value, name] : enum_names<TypeParam>) {
    EXPECT_EQ(name_of(value), name);
    EXPECT_EQ(parse_enum<TypeParam>(name), value);
  }
}

TEST(EnumNames, RefusesAnUnknownNameAndListsTheOthers) {
  EXPECT_EQ(refusal([] { parse_enum<Color>("green"); }),
            "\"green\" is not known: pick one of the red one, the blue one");
  EXPECT_FALSE(find_enum<Device>(""));
  EXPECT_FALSE(find_enum<Device>("CPU"));
}

TEST(EnumNames, NameOfAValueOutsideTheListFails) {
  EXPECT_THROW(name_of(static_cast<Color>(2)), Error);
}

TEST(DTypes, SizeAndTypeOfEachMatch) {
  EXPECT_EQ(size_of(dtype_of<float>()), 4);
  EXPECT_EQ(size_of(dtype_of<bfloat16>()), 2);
  EXPECT_EQ(size_of(dtype_of<double>()), 8);
  EXPECT_EQ(size_of(dtype_of<std::int32_t>()), 4);
}

}  // namespace
}  // namespace test
}  // namespace masformer
