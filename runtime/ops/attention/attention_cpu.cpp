// Attention forward on the CPU. Queries are in vector lanes, so that the softmax of each query runs
// down its lane and never needs a sum across lanes. The price is a transposition of q and out, once
// per block of queries; see attention_cpu_tile.h for the products. A block of keys is packed once
// and then used by several groups of queries, while prefetches bring the next block into the
// caches.
#include <cmath>
#include <limits>
#include <vector>

#include <omp.h>

#include "runtime/ops/attention/attention_cpu_poll.h"
#include "runtime/ops/attention/attention_cpu_tile.h"
#include "runtime/ops/attention/attention_mask.h"
#include "runtime/ops/backend_cpu.h"

namespace masformer::cpu {
namespace {

using std::int64_t;

constexpr int64_t group_count = 4;  // groups of tile_lanes queries that share packed keys
constexpr int64_t query_block = group_count * tile_lanes;
constexpr int64_t key_block = 96;
constexpr float infinity = std::numeric_limits<float>::infinity();

// The state of the online softmax of tile_lanes queries. Exponentials have base 2: exp(x) = 2^(x
// log2(e)), and q is packed with the factor log2(e).
struct Group {
  explicit Group(int64_t dim) : q_memory(dim * tile_lanes), out_memory(dim * tile_lanes) {}

  Rows<float> q() { return {q_memory.data(), tile_lanes}; }      // [D, lanes]
  Rows<float> out() { return {out_memory.data(), tile_lanes}; }  // [D, lanes], not yet divided

  AlignedFloats q_memory, out_memory;
  alignas(64) float max[tile_lanes] = {};           // of the scores so far
  alignas(64) float sum[tile_lanes] = {};           // of 2^(score - max)
  alignas(64) float factor[tile_lanes] = {};        // what the next product multiplies `out` with
  alignas(64) std::int32_t first[tile_lanes] = {};  // the first key that each query sees
  alignas(64) std::int32_t last[tile_lanes] = {};   // and the last
  int64_t size = 0;                                 // queries; the other lanes are idle
  PositionRange keys;                               // seen by at least one query
  PositionRange common_keys;                        // seen by all queries
};

// The working memory of one thread.
struct Workspace {
  explicit Workspace(int64_t head_dim)
      : dim(head_dim),
        k_memory(key_block * dim),
        v_memory(key_block * dim),
        score_memory(key_block * tile_lanes),
        groups(group_count, Group(dim)) {}

  Rows<float> k() { return {k_memory.data(), dim}; }                  // [key_block, D]
  Rows<float> v() { return {v_memory.data(), dim}; }                  // [key_block, D]
  Rows<float> scores() { return {score_memory.data(), tile_lanes}; }  // [key_block, lanes]

  int64_t dim;
  AlignedFloats k_memory, v_memory, score_memory;
  std::vector<Group> groups;
};

// Loads `queries`, at most tile_lanes of them. Idle lanes get the mask of the last query.
void start(Group& group, const AttentionForward& args, const IndexMask& mask, StoredRows q,
           PositionRange queries) {
  const int64_t dim = args.q.dim(3);
  group.size = queries.size();
  pack_in_lanes(q.from(queries.begin), group.size, dim, args.scale * detail::log2e, group.q());
  std::fill_n(group.out().data, dim * tile_lanes, 0.0f);
  std::fill_n(group.max, tile_lanes, -infinity);
  std::fill_n(group.sum, tile_lanes, 0.0f);
  for (int64_t i = 0; i < tile_lanes; ++i) {
    const PositionRange seen = mask.keys_of(std::min(queries.begin + i, queries.end - 1));
    group.first[i] = static_cast<std::int32_t>(seen.begin);
    group.last[i] = static_cast<std::int32_t>(seen.end - 1);
  }
  group.keys = mask.keys_of(queries.begin, queries.end);
  group.common_keys = {group.first[tile_lanes - 1], group.last[0] + 1};
}

IntVec load_int(const std::int32_t* from) {
  IntVec x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

// Scores of keys that a query does not see become -infinity; row 0 holds the scores of key `first`.
void apply_mask(const Group& group, PositionRange keys, int64_t first, Rows<float> scores) {
  for (int64_t key = keys.begin; key < keys.end; ++key) {
    const IntVec index = splat_int(static_cast<std::int32_t>(key));
    float* row = scores[key - first];
    for (int lane = 0; lane < tile_lanes; lane += lanes) {
      const auto seen =
          (load_int(group.first + lane) <= index) & (index <= load_int(group.last + lane));
      store(row + lane, seen ? load(row + lane) : splat(-infinity));
    }
  }
}

// The maximum of `start` and a column of `rows` rows, in several independent chains to hide
// latency.
Vec column_max(Rows<const float> column, int64_t rows, Vec start) {
  constexpr int chains = 4;
  Vec max[chains] = {start, start, start, start};
  int64_t row = 0;
  for (; row + chains <= rows; row += chains) {
    for (int i = 0; i < chains; ++i) max[i] = larger(max[i], load(column[row + i]));
  }
  for (; row < rows; ++row) max[0] = larger(max[0], load(column[row]));
  return larger(larger(max[0], max[1]), larger(max[2], max[3]));
}

// Turns `rows` rows of scores into 2^(score - max) with the new maximum, and adds them to the sum.
void softmax(Group& group, int64_t rows, Rows<float> scores) {
  for (int lane = 0; lane < tile_lanes; lane += lanes) {
    const Vec old = load(group.max + lane);
    const Vec max = column_max({scores.data + lane, scores.stride}, rows, old);
    // For a query that saw no key yet, any finite base makes 2^(-infinity - base) 0.
    const Vec base = max == -infinity ? Vec{} : max;
    const Vec factor = exp2(old - base);
    Vec sum = load(group.sum + lane) * factor;
    for (int64_t row = 0; row < rows; ++row) {
      const Vec weight = exp2(load(scores[row] + lane) - base);
      store(scores[row] + lane, weight);
      sum += weight;
    }
    store(group.max + lane, max);
    store(group.sum + lane, sum);
    store(group.factor + lane, factor);
  }
}

// Processes the keys among the packed ones, [keys.begin, keys.end), that the group sees.
void process_keys(Group& group, Workspace& work, PositionRange keys) {
  const PositionRange seen = clamped(group.keys, keys);
  if (seen.size() <= 0) return;
  const int64_t row = seen.begin - keys.begin;
  const Rows<float> scores = work.scores();
  multiply(work.k().from(row), group.q(), seen.size(), work.dim, scores);
  const PositionRange common = clamped(group.common_keys, seen);
  apply_mask(group, {seen.begin, common.begin}, seen.begin, scores);
  apply_mask(group, {common.end, seen.end}, seen.begin, scores);
  softmax(group, seen.size(), scores);
  multiply_add(work.v().from(row), scores, work.dim, seen.size(), group.factor, group.out());
}

// out = the sum of weights v / the sum of weights; lse = the log of the latter, plus the maximum.
void finish(Group& group, int64_t dim, StoredRows out, float* lse) {
  for (int64_t i = 0; i < tile_lanes; ++i) {
    const bool fully_masked = group.sum[i] == 0;
    group.factor[i] = fully_masked ? 0 : 1 / group.sum[i];
    if (i >= group.size) continue;
    lse[i] = fully_masked ? -infinity : group.max[i] * detail::ln2 + std::log(group.sum[i]);
  }
  unpack_from_lanes(group.out(), group.size, dim, group.factor, out);
}

// A block of queries of one head.
struct Item {
  StoredRows q, k, v, out;
  float* lse;
  PositionRange queries;

  int64_t groups() const { return ceil_div(queries.size(), tile_lanes); }
  PositionRange group(int64_t g) const {
    const int64_t begin = queries.begin + g * tile_lanes;
    return {begin, std::min(begin + tile_lanes, queries.end)};
  }
};

Item item_of(const AttentionForward& args, int64_t batch, int64_t head, PositionRange queries) {
  const int64_t kv_head = head * args.k.dim(2) / args.q.dim(2);
  return {head_rows(args.q, batch, head),
          head_rows(args.k, batch, kv_head),
          head_rows(args.v, batch, kv_head),
          head_rows(args.out, batch, head),
          args.lse.data<float>() + batch * args.lse.stride(0) + head * args.lse.stride(1),
          queries};
}

// Prefetches what is needed after this block of keys, while group `g` computes: the group's share
// of the next block, or after the last block its rows of the output.
void fetch_ahead(const Item& item, PositionRange next, int64_t g, int64_t dim) {
  if (next.size() > 0) {
    const int64_t begin = next.begin + next.size() * g / item.groups();
    const int64_t end = next.begin + next.size() * (g + 1) / item.groups();
    prefetch(item.k.from(begin), end - begin, dim);
    prefetch(item.v.from(begin), end - begin, dim);
  } else {
    prefetch(item.out.from(item.group(g).begin), item.group(g).size(), dim);
  }
}

void attend(const AttentionForward& args, const IndexMask& mask, const Item& item, Workspace& work,
            Poller& poller) {
  const int64_t groups = item.groups(), dim = work.dim;
  const PositionRange seen = mask.keys_of(item.queries.begin, item.queries.end);
  // Blocks of keys start at multiples of their size, so that bits do not depend on the block of
  // queries.
  const int64_t first = seen.begin / key_block * key_block;
  const auto keys_from = [&](int64_t begin) { return clamped({begin, begin + key_block}, seen); };

  prefetch(item.q.from(item.queries.begin), item.queries.size(), dim);
  for (int64_t g = 0; g < groups; ++g) {
    fetch_ahead(item, keys_from(first), g, dim);
    start(work.groups[static_cast<std::size_t>(g)], args, mask, item.q, item.group(g));
  }
  for (int64_t block = first; block < seen.end; block += key_block) {
    poller.between_blocks();
    const PositionRange keys = keys_from(block);
    pack(item.k.from(keys.begin), keys.size(), dim, 1, dim, work.k());
    pack(item.v.from(keys.begin), keys.size(), dim, 1, dim, work.v());
    for (int64_t g = 0; g < groups; ++g) {
      fetch_ahead(item, keys_from(block + key_block), g, dim);
      process_keys(work.groups[static_cast<std::size_t>(g)], work, keys);
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = item.group(g).begin;
    finish(work.groups[static_cast<std::size_t>(g)], dim, item.out.from(begin), item.lse + begin);
  }
}

}  // namespace

void attention(const Stream& stream, const AttentionForward& args) {
  const int64_t batches = args.q.dim(0), queries = args.q.dim(1), heads = args.q.dim(2);
  const BatchMask mask(args.mask, queries, args.k.dim(1));
  const int64_t blocks = ceil_div(queries, query_block);
  std::vector<Workspace> work(static_cast<std::size_t>(stream.threads()), Workspace(args.q.dim(3)));
  // Head by head, so that keys stay in the caches. Last queries first: they see the most keys, and
  // what is left at the end should be short.
  Poller poller(stream);
#pragma omp parallel num_threads(stream.threads())
  {
    Workspace& own = work[static_cast<std::size_t>(omp_get_thread_num())];
#pragma omp for schedule(dynamic, 1) nowait
    for (int64_t item = 0; item < batches * heads * blocks; ++item) {
      const int64_t begin = (blocks - 1 - item % blocks) * query_block;
      const int64_t head = item / blocks % heads, batch = item / blocks / heads;
      const PositionRange block{begin, std::min(begin + query_block, queries)};
      attend(args, mask[batch], item_of(args, batch, head, block), own, poller);
    }
    poller.finish_blocks();
  }
  poller.rethrow_failure();
}

}  // namespace masformer::cpu
