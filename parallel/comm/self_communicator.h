// The group of one rank. Every operation is done when its call returns.
#pragma once

#include "parallel/comm/communicator.h"

namespace masformer {

class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Request all_reduce(Tensor, Reduction) override { return {}; }
  Request reduce_scatter(Tensor) override { return {}; }
  Request all_gather(Tensor) override { return {}; }
  Request broadcast(Tensor, int) override { return {}; }
  Request send(Tensor x, int to) override;       // throws Error: there is no other rank
  Request receive(Tensor x, int from) override;  // throws Error
  std::vector<std::string> all_gather(const std::string& text) override { return {text}; }
  void barrier() override {}
  GroupTraits traits() const override { return {.messages = false}; }
  SentBytes sent_bytes() const override { return {}; }
  std::int64_t working_memory() const override { return 0; }
};

}  // namespace masformer
