#include "tests/fake_cuda/nccl/operation.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>

#include "runtime/bfloat16.h"
#include "tests/fake_cuda/device_memory.h"
#include "tests/fake_cuda/report.h"

namespace fake_cuda::nccl {
namespace {

using masformer::bfloat16;

constexpr const char* names[] = {"ncclAllReduce",     "ncclReduce",    "ncclBroadcast",
                                 "ncclReduceScatter", "ncclAllGather", "ncclSend",
                                 "ncclRecv"};

std::string described(const Call& call) {
  return fmt::format("{} of {} elements of type {}", names[static_cast<int>(call.kind)], call.count,
                     static_cast<int>(call.type));
}

// The header of a message. Both ends must agree on it.
struct Header {
  Kind kind;
  ncclDataType_t type;
  ncclRedOp_t op;
  int root;
  std::size_t count;

  bool operator==(const Header&) const = default;
};

// The headers of a send and its receive name each other's ranks, and are otherwise equal.
Header header_of(const Call& call) {
  if (call.kind == Kind::send || call.kind == Kind::receive)
    return {Kind::send, call.type, ncclSum, 0, call.count};
  return {call.kind, call.type, call.op, call.root, call.count};
}

const std::byte* at(const void* start, std::size_t bytes) {
  return static_cast<const std::byte*>(start) + bytes;
}

std::size_t given_count(const Call& call, int size) {
  return call.kind == Kind::reduce_scatter ? call.count * static_cast<std::size_t>(size)
                                           : call.count;
}

bool gives(const Call& call, int rank) {
  if (call.kind == Kind::receive) return false;
  return call.kind != Kind::broadcast || call.root == rank;
}

bool gets(const Call& call, int rank) {
  if (call.kind == Kind::send) return false;
  return call.kind != Kind::reduce || call.root == rank;
}

// Adds or compares in T, rounding each time.
template <class T>
void reduce_as(const std::vector<const std::byte*>& given, ncclRedOp_t op, std::size_t begin,
               std::size_t count, void* to) {
  for (std::size_t i = begin; i < begin + count; ++i) {
    T result = reinterpret_cast<const T*>(given[0])[i];
    for (std::size_t k = 1; k < given.size(); ++k) {
      const T next = reinterpret_cast<const T*>(given[k])[i];
      if constexpr (std::is_same_v<T, bfloat16>)
        result = bfloat16(op == ncclSum ? float(result) + float(next)
                                        : std::max(float(result), float(next)));
      else
        result = op == ncclSum ? result + next : std::max(result, next);
    }
    static_cast<T*>(to)[i] = result;
  }
}

}  // namespace

std::size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclFloat32:
    case ncclInt32:
      return 4;
    case ncclFloat64:
      return 8;
    case ncclBfloat16:
      return 2;
    default:
      return 0;
  }
}

void check_operands(const Call& call, int rank, int size) {
  const std::size_t share = call.count * size_of(call.type);
  const std::size_t all = share * static_cast<std::size_t>(size);
  const std::size_t own = share * static_cast<std::size_t>(rank);
  const std::size_t from = call.kind == Kind::reduce_scatter ? all : share;
  const std::size_t to = call.kind == Kind::all_gather ? all : share;
  const bool reads = gives(call, rank), writes = gets(call, rank);
  if (reads && !device_memory().holds(call.from, from))
    report("{}: its input is not on the device", described(call));
  if (writes && !device_memory().holds(call.to, to))
    report("{}: its output is not on the device", described(call));
  if (!reads || !writes) return;
  const bool apart = at(call.from, from) <= call.to || at(call.to, to) <= call.from;
  const bool in_place = call.kind == Kind::reduce_scatter ? at(call.from, own) == call.to
                        : call.kind == Kind::all_gather   ? at(call.to, own) == call.from
                                                          : call.from == call.to;
  if (!apart && !in_place) report("{}: its operands overlap other than in place", described(call));
}

Launch::Launch(std::shared_ptr<const Members> members, std::vector<Call> calls)
    : members_(std::move(members)), calls_(std::move(calls)), own_(calls_.size()) {}

bool Launch::advance() {
  if (!begun_) begin();
  begun_ = true;
  if (!all_arrived()) return false;
  if (!std::ranges::all_of(sends_, [](Transfer& each) { return each.done(); })) return false;
  for (std::size_t call = 0; call < calls_.size(); ++call)
    if (gets(calls_[call], members_->rank)) finish(call);
  return true;
}

void Launch::begin() {
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    const Call& call = calls_[i];
    const bool message = call.kind == Kind::send || call.kind == Kind::receive;
    const bool gave = gives(call, members_->rank), got = gets(call, members_->rank);
    if (gave)
      own_[i].assign(at(call.from, 0),
                     at(call.from, given_count(call, members_->size()) * size_of(call.type)));
    for (int peer = 0; peer < members_->size(); ++peer) {
      if (peer == members_->rank || (message && peer != call.root)) continue;
      const std::size_t begin =
          call.kind == Kind::reduce_scatter ? call.count * static_cast<std::size_t>(peer) : 0;
      if (gave && (message || gets(call, peer)))
        send(i, peer, at(own_[i].data(), begin * size_of(call.type)), call.count);
      if (got && (message || gives(call, peer))) expected_.push_back({i, peer, std::nullopt});
    }
  }
}

void Launch::send(std::size_t call, int to, const void* data, std::size_t count) {
  const Header header = header_of(calls_[call]);
  const std::size_t size = count * size_of(header.type);
  Bytes bytes(sizeof header + size);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, data, size);
  sends_.push_back(Transfer::send(
      std::move(bytes), members_->world_ranks[static_cast<std::size_t>(to)], members_->tag));
}

// Messages of a rank arrive in the order of its calls.
bool Launch::all_arrived() {
  std::set<int> late;
  bool all = true;
  for (Expected& each : expected_) {
    if (late.contains(each.from)) continue;
    const int from = members_->world_ranks[static_cast<std::size_t>(each.from)];
    if (!each.transfer) each.transfer = Transfer::receive(from, members_->tag);
    if (!each.transfer) late.insert(each.from);
    if (each.transfer && each.transfer->done()) {
      Header header;
      std::memcpy(&header, each.transfer->bytes().data(), sizeof header);
      if (header != header_of(calls_[each.call]))
        report("rank {} calls {}, and rank {} another operation", members_->rank,
               described(calls_[each.call]), each.from);
    } else {
      all = false;
    }
  }
  return all;
}

const std::byte* Launch::given(std::size_t call, int from) const {
  if (from != members_->rank) {
    const auto found = std::ranges::find_if(
        expected_, [&](const Expected& each) { return each.call == call && each.from == from; });
    return found->transfer->bytes().data() + sizeof(Header);
  }
  const Call& own = calls_[call];
  const bool scattered = own.kind == Kind::reduce_scatter;
  return own_[call].data() +
         (scattered ? static_cast<std::size_t>(from) * own.count * size_of(own.type) : 0);
}

void Launch::finish(std::size_t i) {
  const Call& call = calls_[i];
  const auto size = static_cast<std::size_t>(members_->size());
  const std::size_t bytes = call.count * size_of(call.type);
  switch (call.kind) {
    case Kind::all_reduce:
      for (std::size_t part = 0; part < size; ++part) {
        const std::size_t begin = call.count * part / size;
        reduce(i, begin, call.count * (part + 1) / size - begin, static_cast<int>(part), call.to);
      }
      return;
    case Kind::reduce:
    case Kind::reduce_scatter:
      return reduce(i, 0, call.count, members_->rank, call.to);
    case Kind::all_gather:
      for (std::size_t rank = 0; rank < size; ++rank)
        std::memcpy(static_cast<std::byte*>(call.to) + rank * bytes,
                    given(i, static_cast<int>(rank)), bytes);
      return;
    case Kind::broadcast:
    case Kind::receive:
      std::memcpy(call.to, given(i, call.root), bytes);
      return;
    case Kind::send:
      return;
  }
}

void Launch::reduce(std::size_t i, std::size_t begin, std::size_t count, int last, void* to) const {
  std::vector<const std::byte*> in_order;
  for (int step = 1; step <= members_->size(); ++step)
    in_order.push_back(given(i, (last + step) % members_->size()));
  const ncclRedOp_t op = calls_[i].op;
  switch (calls_[i].type) {
    case ncclFloat32:
      return reduce_as<float>(in_order, op, begin, count, to);
    case ncclInt32:
      return reduce_as<std::int32_t>(in_order, op, begin, count, to);
    case ncclFloat64:
      return reduce_as<double>(in_order, op, begin, count, to);
    default:
      return reduce_as<bfloat16>(in_order, op, begin, count, to);
  }
}

}  // namespace fake_cuda::nccl
