// How far apart the tensors of two checkpoints are.
#pragma once

#include <map>
#include <string>

#include "parallel/checkpoint/reader.h"

namespace masformer {

// For each tensor the norm of a - b over the norm of b (of a, where b is zero), in double: 0 where
// no bit differs, else the largest double where a side holds NaN or infinity. Reads a bounded
// number of elements at a time. Throws UsageError that lists the tensors which one side lacks or
// which differ in shape.
std::map<std::string, double> compare(CheckpointReader& a, CheckpointReader& b);

}  // namespace masformer
