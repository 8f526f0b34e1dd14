// Replaces the toolkit's header of this name where g++ compiles a CUDA source for the fake. The
// runtime's types and prototypes are the toolkit's own; the language extensions are defined here. A
// source may use only the part of CUDA C++ that this folder defines.
#pragma once

#include <cuda_runtime_api.h>
#include <math.h>
#include <vector_functions.h>

#undef __shared__
#undef __constant__
// Libraries with kernels have no other zero-initialised thread-local storage. So the fake finds the
// shared variables there, and poisons all of them before each block.
#define __shared__ static thread_local
#define __constant__
#define __launch_bounds__(...)

#include "fake_cuda/builtin.h"
#include "fake_cuda/launch.h"
#include "fake_cuda/math.h"
