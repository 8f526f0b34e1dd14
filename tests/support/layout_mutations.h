// Faults made on purpose in runs of a layout, which its comparison with one rank must find.
#pragma once

#include <vector>

#include "tests/support/layout.h"

namespace masformer::test {

struct Broken {
  const char* what;
  Mutation mutation;
};

// Faults that combinations of parallel axes are known to cause (Megatron-LM#7452, #1464), for the
// axes of this mesh.
std::vector<Broken> broken_runs(const LayoutCase& c);

}  // namespace masformer::test
