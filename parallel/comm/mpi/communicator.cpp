#include "parallel/comm/mpi/communicator.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "parallel/comm/mpi/request.h"
#include "parallel/comm/mpi/shares.h"
#include "parallel/comm/mpi/support.h"
#include "runtime/error.h"

namespace masformer {
namespace {

constexpr int message_tag = 0;  // MPI matches by order

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(OwnedComm comm);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Request all_reduce(Tensor x, Reduction reduction) override;
  Request reduce_scatter(Tensor x) override;
  Request all_gather(Tensor x) override;
  Request broadcast(Tensor x, int root) override;
  Request send(Tensor x, int to) override;
  Request receive(Tensor x, int from) override;
  std::vector<std::string> all_gather(const std::string& text) override;
  void barrier() override;
  GroupTraits traits() const override { return {.needs_polling = true}; }
  void progress() override;
  SentBytes sent_bytes() const override { return sent_; }
  std::int64_t working_memory() const override { return reduce_scatters_.working_memory(); }

  MPI_Comm handle() const { return comm_.get(); }

 private:
  void check(const Tensor& x, int peer) const;
  Request all_reduce_by_shares(const Tensor& x, Reduction reduction);
  ShareGroup next_share_group();
  void count(Operation kind, const Tensor& x) {
    sent_[kind] += counted_bytes(kind, x, rank_, size_);
  }

  OwnedComm comm_;
  int rank_ = 0;
  int size_ = 1;
  int share_tag_ = message_tag;  // of the last reduce-scatter or all-gather
  ReduceScatters reduce_scatters_;
  SentBytes sent_;
};

std::vector<ShardRange> pieces_of(const Tensor& x) {
  return message_pieces({0, x.elements()}, size_of(x.dtype()));
}

MpiCommunicator::MpiCommunicator(OwnedComm comm) : comm_(std::move(comm)) {
  check_mpi(MPI_Comm_set_errhandler(handle(), MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(handle(), &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(handle(), &size_), "MPI_Comm_size");
}

void MpiCommunicator::check(const Tensor& x, int peer) const {
  require(x.device() == Device::cpu && x.contiguous(),
          "MPI moves only contiguous tensors in host memory, not {} on {}", x.shape(),
          name_of(x.device()));
  require(peer >= 0 && peer < size_, "no rank {} in a group of {} ranks", peer, size_);
}

void MpiCommunicator::progress() {
  int found = 0;
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, message_tag, handle(), &found, MPI_STATUS_IGNORE),
            "MPI_Iprobe");
}

// Blocking, because MPI_Iallreduce was measured to take up to three times as long, and makes no
// progress by itself. OpenMPI chooses the algorithm, and with it the order of the sum, by the sizes
// of message and group.
Request MpiCommunicator::all_reduce(Tensor x, Reduction reduction) {
  check(x, rank_);
  count(Operation::all_reduce, x);
  if (x.dtype() == DType::bf16) return all_reduce_by_shares(x, reduction);
  const MPI_Op op = reduction == Reduction::sum ? MPI_SUM : MPI_MAX;
  for (const ShardRange& piece : pieces_of(x)) {
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, element(x, piece.begin), static_cast<int>(piece.count),
                            mpi_type(x.dtype()), op, handle()),
              "MPI_Allreduce");
  }
  return {};
}

// MPI has no bf16, so this is a reduce-scatter and an all-gather.
Request MpiCommunicator::all_reduce_by_shares(const Tensor& x, Reduction reduction) {
  require(reduction == Reduction::sum, "bf16 tensors can be summed, but have no other reduction");
  const Tensor elements = x.reshape({x.elements()});
  reduce_scatters_.start(next_share_group(), elements).wait();
  return start_all_gather(next_share_group(), elements);
}

ShareGroup MpiCommunicator::next_share_group() {
  constexpr int last_tag = 32767;  // works with every MPI, and is never reached
  share_tag_ = share_tag_ % last_tag + 1;
  return {handle(), rank_, size_, share_tag_};
}

Request MpiCommunicator::reduce_scatter(Tensor x) {
  check(x, rank_);
  count(Operation::reduce_scatter, x);
  return reduce_scatters_.start(next_share_group(), x);
}

Request MpiCommunicator::all_gather(Tensor x) {
  check(x, rank_);
  count(Operation::all_gather, x);
  return start_all_gather(next_share_group(), x);
}

Request MpiCommunicator::broadcast(Tensor x, int root) {
  check(x, root);
  for (const ShardRange& piece : pieces_of(x)) {
    check_mpi(MPI_Bcast(element(x, piece.begin), static_cast<int>(piece.count), mpi_type(x.dtype()),
                        root, handle()),
              "MPI_Bcast");
  }
  if (rank_ == root) count(Operation::broadcast, x);
  return {};
}

Request MpiCommunicator::send(Tensor x, int to) {
  check(x, to);
  auto requests = std::make_unique<MpiRequests>(mpi_type(x.dtype()));
  for (const ShardRange& piece : pieces_of(x)) {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(element(x, piece.begin), static_cast<int>(piece.count), mpi_type(x.dtype()),
                        to, message_tag, handle(), &request),
              "MPI_Isend");
    requests->add_send(request);
  }
  count(Operation::send, x);
  return Request(std::move(requests));
}

Request MpiCommunicator::receive(Tensor x, int from) {
  check(x, from);
  auto requests = std::make_unique<MpiRequests>(mpi_type(x.dtype()));
  for (const ShardRange& piece : pieces_of(x)) {
    MPI_Request request = MPI_REQUEST_NULL;
    const int count = static_cast<int>(piece.count);
    check_mpi(MPI_Irecv(element(x, piece.begin), count, mpi_type(x.dtype()), from, message_tag,
                        handle(), &request),
              "MPI_Irecv");
    requests->add_receive(request, count);
  }
  return Request(std::move(requests));
}

std::vector<std::string> MpiCommunicator::all_gather(const std::string& text) {
  const auto ranks = static_cast<std::size_t>(size_);
  const auto bytes = static_cast<std::int64_t>(text.size());
  std::vector<std::int64_t> sizes(ranks);
  check_mpi(MPI_Allgather(&bytes, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, handle()),
            "MPI_Allgather");
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) total += size;
  require(total <= std::numeric_limits<int>::max(),
          "{} bytes of text are too many for one all_gather of {} ranks", total, size_);

  std::vector<int> counts, offsets;
  for (const std::int64_t size : sizes) {
    offsets.push_back(counts.empty() ? 0 : offsets.back() + counts.back());
    counts.push_back(static_cast<int>(size));
  }
  std::string joined(static_cast<std::size_t>(total), '\0');
  check_mpi(MPI_Allgatherv(text.data(), static_cast<int>(bytes), MPI_CHAR, joined.data(),
                           counts.data(), offsets.data(), MPI_CHAR, handle()),
            "MPI_Allgatherv");
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < ranks; ++i) {
    texts.push_back(
        joined.substr(static_cast<std::size_t>(offsets[i]), static_cast<std::size_t>(counts[i])));
  }
  return texts;
}

void MpiCommunicator::barrier() {
  check_mpi(MPI_Barrier(handle()), "MPI_Barrier");
}

class OwnedGroup {
 public:
  OwnedGroup() = default;
  OwnedGroup(const OwnedGroup&) = delete;
  OwnedGroup& operator=(const OwnedGroup&) = delete;
  ~OwnedGroup() {
    if (group != MPI_GROUP_NULL) MPI_Group_free(&group);
  }
  MPI_Group group = MPI_GROUP_NULL;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(OwnedComm comm) {
  return std::make_unique<MpiCommunicator>(std::move(comm));
}

std::unique_ptr<Communicator> make_mpi_group(const Communicator& world,
                                             const std::vector<int>& members, int tag) {
  const auto* parent = dynamic_cast<const MpiCommunicator*>(&world);
  require(parent != nullptr, "a group of MPI ranks can only be made from MpiSession::world()");
  require(std::find(members.begin(), members.end(), world.rank()) != members.end(),
          "rank {} must be a member of a group that it makes", world.rank());
  OwnedGroup all, some;
  check_mpi(MPI_Comm_group(parent->handle(), &all.group), "MPI_Comm_group");
  check_mpi(
      MPI_Group_incl(all.group, static_cast<int>(members.size()), members.data(), &some.group),
      "MPI_Group_incl");
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_create_group(parent->handle(), some.group, tag, &comm),
            "MPI_Comm_create_group");
  return make_mpi_communicator(OwnedComm(comm));
}

}  // namespace masformer
