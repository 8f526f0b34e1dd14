// Stands before the toolkit's header of this name where a CUDA source is compiled by g++ for the
// double: types and prototypes of the runtime are the toolkit's own, the language is spelled out
// here. A source may use what this folder defines and no more of CUDA C++.
#pragma once

#include <cuda_runtime_api.h>
#include <math.h>
#include <vector_functions.h>

#undef __shared__
#undef __constant__
// Zero-initialised thread-local storage holds nothing else in a library with kernels: the emulator
// finds it by that, and poisons all of it before each block.
#define __shared__ static thread_local
#define __constant__
#define __launch_bounds__(...)

#include "fake_cuda/builtin.h"
#include "fake_cuda/launch.h"
#include "fake_cuda/math.h"
