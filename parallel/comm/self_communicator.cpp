#include "parallel/comm/self_communicator.h"

#include "runtime/error.h"

namespace masformer {

Request SelfCommunicator::send(Tensor, int to) {
  fail("cannot send to rank {}: the group has only one rank", to);
}

Request SelfCommunicator::receive(Tensor, int from) {
  fail("cannot receive from rank {}: the group has only one rank", from);
}

}  // namespace masformer
