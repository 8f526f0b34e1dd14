// All ranks of a test that mpirun started (support/mpi_main.cpp owns it).
#pragma once

#include "parallel/comm/communicator.h"

namespace masformer::test {

Communicator& world();

}  // namespace masformer::test
