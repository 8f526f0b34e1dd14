// The ways in which tensors travel between ranks, for tests of what holds for all of them: by MPI
// on hosts; on the device that MASFORMER_TEST_DEVICE names, by every transport in the list
// (parallel/comm/process_groups.h).
#pragma once

#include <map>
#include <numeric>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/nccl/communicator.h"
#include "parallel/comm/process_groups.h"
#include "runtime/error.h"
#include "tests/support/tensors.h"
#include "tests/support/world.h"

namespace masformer::test {

struct Way {
  std::string name;
  Device device;
  Transport transport;

  bool nccl() const { return transport == Transport::nccl; }
};

inline void PrintTo(const Way& way, std::ostream* out) {
  *out << way.name;
}

inline std::vector<Way> ways() {
  if (device() == Device::cpu) return {{"mpi", Device::cpu, Transport::mpi}};
  std::vector<Way> all;
  for (const auto& [transport, name] : enum_names<Transport>) {
    all.push_back({std::string(name), device(), transport});
  }
  return all;
}

inline std::string name_of_way(const testing::TestParamInfo<Way>& info) {
  return info.param.name;
}

// The compute stream of this rank.
inline const Stream& stream() {
  static const Stream only(device(), 1, world().rank());
  return only;
}

// A new group of all ranks, which MPI alone carries.
inline std::unique_ptr<Communicator> private_world(int tag) {
  std::vector<int> all(static_cast<std::size_t>(world().size()));
  std::iota(all.begin(), all.end(), 0);
  return make_mpi_group(world(), all, tag);
}

inline ProcessGroups make_groups(const Way& way, const Mesh& mesh,
                                 std::chrono::seconds timeout = std::chrono::seconds(60)) {
  if (way.device == Device::cpu) return make_process_groups(private_world(7), mesh);
  return make_process_groups(private_world(7), mesh, {&stream(), way.transport, timeout});
}

// Returns why a transport can't be used here; "" if it can. Collective.
inline std::string missing(const Way& way) {
  if (way.device == Device::cpu) return "";
  std::string own;
  try {
    own = stream().device_stream()->bus_id();
  } catch (const UsageError& error) {
    return error.what();
  }
  constexpr int first_that_shares = 23000;
  if (!way.nccl() || nccl_version() >= first_that_shares) return "";
  const auto names = world().all_gather(own);
  if (std::set(names.begin(), names.end()).size() == names.size()) return "";
  return fmt::format("ranks share a device, and NCCL {} does not let them: 2.30 does",
                     nccl_version());
}

// A tensor to exchange, with its values as T on the host. If it is on a device, they are copied
// there and back.
template <class T>
class Cargo {
 public:
  Cargo(const Way& way, std::vector<T> values, const Shape& shape)
      : values_(std::move(values)),
        shape_(shape),
        arena_(way.device, way.device == Device::cpu ? 0 : on_host().bytes()),
        tensor_(way.device == Device::cpu ? on_host() : arena_.take(shape, dtype_of<T>())) {
    put();
  }
  Cargo(const Way& way, std::vector<T> values) : Cargo(way, values, {std::ssize(values)}) {}

  operator Tensor() const { return tensor_; }  // NOLINT: usable wherever a Tensor is expected
  const Tensor* operator->() const { return &tensor_; }

  // The values after all work of the stream so far.
  std::vector<T>& values() {
    if (tensor_.device() != Device::cpu) copy(stream(), tensor_, on_host());
    return values_;
  }
  // Copies changes of values() to the tensor.
  void put() {
    if (tensor_.device() != Device::cpu) copy(stream(), on_host(), tensor_);
  }

 private:
  Tensor on_host() { return {values_.data(), shape_, dtype_of<T>(), Device::cpu}; }

  std::vector<T> values_;
  Shape shape_;
  Arena arena_;
  Tensor tensor_;
};

// The stream that works on the tensors of a transport.
inline const Stream& stream_of(const Way& way) {
  static const Stream host(Device::cpu);
  return way.device == Device::cpu ? host : stream();
}

// A test that is run for each way, with groups of all ranks that a suite makes once.
class OnEachWay : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    const std::string reason = missing(GetParam());
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
  static void TearDownTestSuite() { groups_.clear(); }

  // Aborts, as a failing rank does. Call it on all ranks: the current groups are unusable
  // afterwards.
  static void abort_all() {
    if (device() != Device::cpu) stream().device_stream()->abort_all();
    groups_.clear();
  }
  // For collectives.
  Communicator& group() { return *groups().world; }
  // For messages; by NCCL, between neighbours in a ring.
  Communicator& pipe() { return GetParam().nccl() ? *groups().pipe : *groups().world; }
  // The ranks with which this one exchanges messages, in ascending order.
  std::vector<int> peers() {
    const int rank = world().rank(), ranks = world().size();
    std::set<int> found;
    for (int peer = 0; peer < ranks; ++peer) {
      const bool neighbours = (peer + 1) % ranks == rank || (rank + 1) % ranks == peer;
      if (!GetParam().nccl() || (neighbours && peer != rank)) found.insert(peer);
    }
    return {found.begin(), found.end()};
  }

 private:
  ProcessGroups& groups() {
    const auto found = groups_.find(GetParam().name);
    if (found != groups_.end()) return found->second;
    const Mesh mesh{.pipe = world().size()};
    return groups_.emplace(GetParam().name, make_groups(GetParam(), mesh)).first->second;
  }

  static inline std::map<std::string, ProcessGroups> groups_;
};

}  // namespace masformer::test
