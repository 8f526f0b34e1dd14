#include "tests/fake_cuda/nccl/communicator.h"

#include <algorithm>
#include <cstring>

#include "tests/fake_cuda/nccl/fault.h"
#include "tests/fake_cuda/random.h"
#include "tests/fake_cuda/report.h"
#include "tests/fake_cuda/stream.h"

namespace fake_cuda::nccl {
namespace {

struct Hello {
  int rank, size;
};

template <class T>
Bytes bytes_of(const T* values, std::size_t count) {
  Bytes bytes(count * sizeof(T));
  std::memcpy(bytes.data(), values, bytes.size());
  return bytes;
}

int tag_of(const Id& id) {
  constexpr int serials = 1 << 16;
  if (id.serial >= serials) report("more than {} ids in a process", serials);
  return 1 + id.root * serials + id.serial;
}

}  // namespace

Connection::Connection(const Id& id, int size, int rank)
    : id_(id), size_(size), rank_(rank), root_(id.root == world_rank()), unknown_(size - 1) {
  if (!root_) {
    const Hello hello{rank, size};
    sends_.push_back(Transfer::send(bytes_of(&hello, 1), id.root, tag_of(id)));
    return;
  }
  world_ranks_.assign(static_cast<std::size_t>(size), -1);
  world_ranks_[static_cast<std::size_t>(rank)] = world_rank();
}

bool Connection::advance(Members& members) {
  if (!(root_ ? advance_root() : advance_other())) return false;
  if (!std::ranges::all_of(sends_, [](Transfer& each) { return each.done(); })) return false;
  members.rank = rank_;
  members.tag = tag_of(id_);
  members.world_ranks = world_ranks_;
  return true;
}

bool Connection::advance_root() {
  while (unknown_ > 0) {
    if (!arriving_) arriving_ = Transfer::receive(MPI_ANY_SOURCE, tag_of(id_));
    if (!arriving_ || !arriving_->done()) return false;
    Hello hello{};
    std::memcpy(&hello, arriving_->bytes().data(), sizeof hello);
    if (hello.size != size_ || world_ranks_[static_cast<std::size_t>(hello.rank)] != -1)
      report("rank {} of {} connects to {} ranks, and once more", hello.rank, hello.size, size_);
    world_ranks_[static_cast<std::size_t>(hello.rank)] = arriving_->peer();
    arriving_.reset();
    if (--unknown_ > 0) continue;
    for (const int each : world_ranks_)
      if (each != world_rank())
        sends_.push_back(
            Transfer::send(bytes_of(world_ranks_.data(), world_ranks_.size()), each, tag_of(id_)));
  }
  return true;
}

bool Connection::advance_other() {
  if (!arriving_) arriving_ = Transfer::receive(id_.root, tag_of(id_));
  if (!arriving_ || !arriving_->done()) return false;
  world_ranks_.resize(static_cast<std::size_t>(size_));
  std::memcpy(world_ranks_.data(), arriving_->bytes().data(), arriving_->bytes().size());
  return true;
}

}  // namespace fake_cuda::nccl

using fake_cuda::draw;
using fake_cuda::nccl::Fault;
using fake_cuda::nccl::Launch;

namespace {

constexpr std::uint64_t max_polls = 4;

int drawn_polls() {
  return static_cast<int>(draw(max_polls));
}

}  // namespace

ncclComm::ncclComm(const fake_cuda::nccl::Id& id, int size, int rank)
    : size_(size),
      members_(std::make_shared<fake_cuda::nccl::Members>()),
      polls_to_come_(1 + drawn_polls()),
      work_(std::make_shared<Work>()) {
  const Fault fault = fake_cuda::nccl::next_fault("connect");
  if (fault == Fault::none) connection_.emplace(id, size, rank);
  work_->failed = fault == Fault::fail;
}

ncclResult_t ncclComm::poll() {
  if (work_->unfinished > 0 && draw(2) == 0) fake_cuda::try_each_once();  // as a device would
  if (work_->failed) return ncclRemoteError;
  if (stalled_ || state_ != ncclInProgress || polls_to_come_-- > 0) return state_;
  polls_to_come_ = 0;
  if (members_->world_ranks.empty()) {
    if (connection_ && connection_->advance(*members_)) state_ = ncclSuccess;
  } else if (finalizing_) {
    if (work_->unfinished == 0) state_ = ncclSuccess;
  } else {
    issue();
  }
  return state_;
}

void ncclComm::launch(std::vector<fake_cuda::nccl::Call> calls, cudaStream_t stream) {
  calls_ = std::move(calls);
  stream_ = stream;
  state_ = ncclInProgress;
  polls_to_come_ = drawn_polls();
  if (polls_to_come_ == 0) issue();
}

void ncclComm::issue() {
  const Fault fault = fake_cuda::nccl::next_fault("launch");
  stalled_ = fault == Fault::stall;
  if (stalled_) return;
  state_ = ncclSuccess;
  ++work_->unfinished;
  fake_cuda::nccl::add_work(1);
  const auto launch = std::make_shared<Launch>(members_, std::exchange(calls_, {}));
  fake_cuda::enqueue(stream_, [launch, fault, work = work_] {
    if (fault == Fault::fail) work->failed = true;
    if (!work->aborted && (fault != Fault::none || !launch->advance())) return false;
    // MPI may still read and write the buffers of aborted launches, so they are kept.
    static std::vector<std::shared_ptr<Launch>> broken_off;
    if (work->aborted) broken_off.push_back(launch);
    --work->unfinished;
    fake_cuda::nccl::add_work(-1);
    return true;
  });
}

void ncclComm::finalize() {
  finalizing_ = true;
  state_ = ncclInProgress;
  polls_to_come_ = drawn_polls();
}
