// The vector functions against double, in units in the last place, and at the ends of their ranges.
#include "runtime/ops/vector_math.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <gtest/gtest.h>

namespace masformer::cpu {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

float of(Vec (*function)(Vec), float x) {
  return function(splat(x))[lanes - 1];
}

double ulps(float got, double want) {
  const float near = std::abs(static_cast<float>(want));
  return std::abs(got - want) / (std::nextafter(near, infinity) - near);
}

// The worst error over [low, high] in even steps.
double worst(Vec (*function)(Vec), double (*exact)(double), float low, float high) {
  constexpr int steps = 400000;
  double most = 0;
  for (int i = 0; i <= steps; ++i) {
    const float x = low + (high - low) * (static_cast<float>(i) / steps);
    most = std::max(most, ulps(of(function, x), exact(x)));
  }
  return most;
}

TEST(VectorMath, ErrorsStayWithinTheStatedUlps) {
  EXPECT_LE(worst(exp2, std::exp2, -125.9f, 127.4f), 2.0);
  EXPECT_LE(worst(exp2, std::exp2, -1.0f, 1.0f), 2.0);
  EXPECT_LE(worst(exp, std::exp, -87.2f, 88.2f), 2.0);
  EXPECT_LE(worst(exp, std::exp, -1.0f, 1.0f), 2.0);
  EXPECT_LE(worst(tanh, std::tanh, -12.0f, 12.0f), 4.0);
  EXPECT_LE(worst(tanh, std::tanh, -0.5f, 0.5f), 4.0);
  EXPECT_LE(worst(tanh, std::tanh, 1e-20f, 1e-6f), 4.0);
}

TEST(VectorMath, SineAndCosineStayWithinTheStatedError) {
  constexpr int steps = 20000;
  double worst_error = 0;
  for (int quadrant = -4; quadrant < 8; ++quadrant) {
    for (int i = 0; i <= steps; ++i) {
      const float r = static_cast<float>(i) / steps - 0.5f;
      const auto [sine, cosine] = sine_cosine(splat(r), splat_int(quadrant));
      const double angle = (double(r) + quadrant) * (std::numbers::pi / 2);
      worst_error = std::max({worst_error, std::abs(double(sine[lanes - 1]) - std::sin(angle)),
                              std::abs(double(cosine[0]) - std::cos(angle))});
    }
  }
  EXPECT_LE(worst_error, 1e-7);
}

TEST(VectorMath, IsExactAtTheEndsOfItsRanges) {
  EXPECT_EQ(of(exp2, 0.0f), 1.0f);
  EXPECT_EQ(of(exp2, -infinity), 0.0f);
  EXPECT_EQ(of(exp2, -1000.0f), 0.0f);
  EXPECT_EQ(of(exp2, 127.75f), infinity);
  EXPECT_EQ(of(exp, 0.0f), 1.0f);
  EXPECT_EQ(of(exp, -infinity), 0.0f);
  EXPECT_EQ(of(exp, 100.0f), infinity);
  EXPECT_EQ(of(exp, infinity), infinity);
  EXPECT_EQ(of(tanh, infinity), 1.0f);
  EXPECT_EQ(of(tanh, -infinity), -1.0f);
  EXPECT_EQ(of(tanh, 0.0f), 0.0f);
  for (Vec (*function)(Vec) : {exp2, exp, tanh}) EXPECT_TRUE(std::isnan(of(function, nan)));
}

TEST(VectorMath, PartialLoadsAndStoresLeaveTheRestUnchanged) {
  float from[lanes], to[lanes];
  for (int i = 0; i < lanes; ++i) {
    from[i] = static_cast<float>(i + 1);
    to[i] = -1;
  }
  for (int count = 0; count < lanes; ++count) {
    const int total = count * (count + 1) / 2;
    EXPECT_EQ(sum(load_part(from, count)), static_cast<float>(total));
    store_part(to, load(from), count);
    for (int i = 0; i < lanes; ++i) EXPECT_EQ(to[i], i < count ? from[i] : -1.0f);
  }
}

}  // namespace
}  // namespace masformer::cpu
