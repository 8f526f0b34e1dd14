// The entry points of libmasformer_nccl.so, and the communicator behind them.
#include "parallel/comm/nccl/communicator.h"

#include <utility>

#include "parallel/comm/device_communicator.h"
#include "parallel/comm/nccl/connections.h"
#include "parallel/sharding.h"
#include "runtime/error.h"

namespace masformer {
namespace {

using nccl::check;
using nccl::NcclConnection;

ncclDataType_t type_of(const Tensor& x) {
  switch (x.dtype()) {
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f64:
      return ncclFloat64;
    case DType::i32:
      return ncclInt32;
  }
  fail("unknown dtype {}", static_cast<int>(x.dtype()));
}

std::size_t count_of(const Tensor& x) {
  return static_cast<std::size_t>(x.elements());
}

class NcclCommunicator final : public DeviceCommunicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> on_hosts, const Stream& stream,
                   const NcclGroup& description)
      : DeviceCommunicator(std::move(on_hosts), stream),
        name_(description.name),
        connections_(nccl::make_connections(inner(), stream, description)) {}

  GroupTraits traits() const override {
    return {.collectives = connections_.everyone != nullptr,
            .messages = !connections_.links.empty()};
  }

 private:
  Request start_all_reduce(const Tensor& x, Reduction reduction) override;
  Request start_reduce_scatter(const Tensor& x) override;
  Request start_all_gather(const Tensor& x) override;
  Request start_broadcast(const Tensor& x, int root) override;
  Request start_send(const Tensor& x, int to) override;
  Request start_receive(const Tensor& x, int from) override;

  NcclConnection& everyone() const {
    require(connections_.everyone != nullptr, "the {} group has messages only, no collectives",
            name_);
    return *connections_.everyone;
  }
  NcclConnection& link(int from, int to) const {
    const auto found = connections_.links.find({from, to});
    require(found != connections_.links.end(), "the {} group has no link from rank {} to rank {}",
            name_, from, to);
    return *found->second;
  }
  Tensor rows_of(const Tensor& x, int rank) const {
    const ShardRange rows = shard_range(x.dim(0), size(), rank);
    return x.slice(0, rows.begin, rows.count);
  }
  bool even(const Tensor& x) const { return x.dim(0) % size() == 0; }

  std::string name_;
  nccl::NcclConnections connections_;
};

Request NcclCommunicator::start_all_reduce(const Tensor& x, Reduction reduction) {
  const ncclRedOp_t op = reduction == Reduction::sum ? ncclSum : ncclMax;
  return everyone().start("all_reduce", [&](ncclComm_t comm, cudaStream_t stream) {
    check(ncclAllReduce(x.raw(), x.raw(), count_of(x), type_of(x), op, comm, stream),
          "ncclAllReduce");
  });
}

Request NcclCommunicator::start_reduce_scatter(const Tensor& x) {
  return everyone().start("reduce_scatter", [&](ncclComm_t comm, cudaStream_t stream) {
    if (even(x)) {
      const Tensor own = rows_of(x, rank());
      check(ncclReduceScatter(x.raw(), own.raw(), count_of(own), type_of(x), ncclSum, comm, stream),
            "ncclReduceScatter");
      return;
    }
    for (int root = 0; root < size(); ++root) {
      const Tensor rows = rows_of(x, root);
      if (rows.elements() == 0) continue;
      check(ncclReduce(rows.raw(), rows.raw(), count_of(rows), type_of(x), ncclSum, root, comm,
                       stream),
            "ncclReduce");
    }
  });
}

Request NcclCommunicator::start_all_gather(const Tensor& x) {
  return everyone().start("all_gather", [&](ncclComm_t comm, cudaStream_t stream) {
    if (even(x)) {
      const Tensor own = rows_of(x, rank());
      check(ncclAllGather(own.raw(), x.raw(), count_of(own), type_of(x), comm, stream),
            "ncclAllGather");
      return;
    }
    for (int root = 0; root < size(); ++root) {
      const Tensor rows = rows_of(x, root);
      if (rows.elements() == 0) continue;
      check(ncclBroadcast(rows.raw(), rows.raw(), count_of(rows), type_of(x), root, comm, stream),
            "ncclBroadcast");
    }
  });
}

Request NcclCommunicator::start_broadcast(const Tensor& x, int root) {
  return everyone().start("broadcast", [&](ncclComm_t comm, cudaStream_t stream) {
    check(ncclBroadcast(x.raw(), x.raw(), count_of(x), type_of(x), root, comm, stream),
          "ncclBroadcast");
  });
}

// A link is a connection of two ranks; its sender is rank 0.
Request NcclCommunicator::start_send(const Tensor& x, int to) {
  return link(rank(), to).start("send", [&](ncclComm_t comm, cudaStream_t stream) {
    check(ncclSend(x.raw(), count_of(x), type_of(x), 1, comm, stream), "ncclSend");
  });
}

Request NcclCommunicator::start_receive(const Tensor& x, int from) {
  return link(from, rank()).start("receive", [&](ncclComm_t comm, cudaStream_t stream) {
    check(ncclRecv(x.raw(), count_of(x), type_of(x), 0, comm, stream), "ncclRecv");
  });
}

}  // namespace
}  // namespace masformer

extern "C" void masformer_nccl_communicator(std::unique_ptr<masformer::Communicator>& group,
                                            const masformer::Stream& stream,
                                            const masformer::NcclGroup& description) {
  using namespace masformer;
  group = std::make_unique<NcclCommunicator>(std::move(group), stream, description);
}

extern "C" int masformer_nccl_version() {
  int version = 0;
  masformer::nccl::check(ncclGetVersion(&version), "ncclGetVersion");
  return version;
}
