// Layouts at the boundaries of what each axis can do, which layout_test.cpp compares with one rank.
// A case that one boundary needs is added to the function of its kind in layout_cases.cpp.
#pragma once

#include <vector>

#include "tests/support/layout.h"

namespace masformer::test {

// Those that the ranks of the world can run. On the fake of CUDA, which is slow, there are fewer.
std::vector<LayoutCase> boundary_cases();

// Those in which faults are made on purpose (layout_mutations.h): of two ranks or four, else none.
std::vector<LayoutCase> cases_to_break();

}  // namespace masformer::test
