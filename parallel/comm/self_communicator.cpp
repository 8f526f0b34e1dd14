#include "parallel/comm/self_communicator.h"

#include "runtime/error.h"

namespace masformer {

Request SelfCommunicator::send(Tensor, int to) {
  fail("a group of one rank has nobody to send to: no rank {}", to);
}

Request SelfCommunicator::receive(Tensor, int from) {
  fail("a group of one rank has nobody to receive from: no rank {}", from);
}

}  // namespace masformer
