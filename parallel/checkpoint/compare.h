// Measures how far the tensors of two checkpoints differ.
#pragma once

#include <map>
#include <string>

#include "parallel/checkpoint/reader.h"

namespace masformer {

// Returns for each tensor the norm of a - b over the norm of b (of a, where b is zero), computed in
// double. It is 0 if no bit differs; otherwise it is the largest double where either side holds
// a NaN or an infinity. Holds a bounded number of elements at a time. Throws UsageError that lists
// the tensors that one side lacks and those that differ in shape.
std::map<std::string, double> compare(CheckpointReader& a, CheckpointReader& b);

}  // namespace masformer
