// The group of all ranks of a test; support/mpi_main.cpp owns it.
#pragma once

#include "parallel/comm/communicator.h"

namespace masformer::test {

Communicator& world();

}  // namespace masformer::test
