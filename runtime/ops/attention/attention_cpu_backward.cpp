// Attention backward on the CPU. Each piece of work is a block of keys, in vector lanes: it passes
// over the queries that see it and sums dk and dv in the thread's own memory. All blocks add to dq.
// A pass of its own for dq would compute scores and dp a second time, 7 products in place of 5; so
// blocks add to it directly, but in the order of key blocks (attention_cpu_relay.h): bits do not
// depend on which thread has which block. As in the forward, powers are of 2: q is packed with a
// factor of scale log2(e).
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <omp.h>

#include "runtime/ops/attention/attention_cpu_poll.h"
#include "runtime/ops/attention/attention_cpu_relay.h"
#include "runtime/ops/attention/attention_cpu_tile.h"
#include "runtime/ops/attention/attention_mask.h"
#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

using std::int64_t;

constexpr int64_t group_count = 4;
constexpr int64_t key_block = group_count * tile_lanes;
constexpr int64_t query_block = 96;  // a multiple of tile_rows
static_assert(query_block % tile_rows == 0);

constexpr std::array<float, tile_lanes> filled(float value) {
  std::array<float, tile_lanes> all{};
  for (float& x : all) x = value;
  return all;
}

// tile_lanes keys.
struct Group {
  explicit Group(int64_t dim)
      : k_memory(dim * tile_lanes),
        v_memory(dim * tile_lanes),
        dk_memory(dim * tile_lanes),
        dv_memory(dim * tile_lanes) {}

  Rows<float> k() { return {k_memory.data(), tile_lanes}; }  // [D, lanes], as are the others
  Rows<float> v() { return {v_memory.data(), tile_lanes}; }
  Rows<float> dk() { return {dk_memory.data(), tile_lanes}; }  // the sum so far, over ln(2)
  Rows<float> dv() { return {dv_memory.data(), tile_lanes}; }  // the sum so far

  AlignedFloats k_memory, v_memory, dk_memory, dv_memory;
};

// The working memory of one thread: a block of keys, and the current block of queries.
struct Workspace {
  explicit Workspace(int64_t head_dim)
      : dim(head_dim),
        padded_dim(round_up(dim, tile_lanes)),
        groups(group_count, Group(dim)),
        k_memory(key_block * padded_dim),
        q_memory(query_block * dim),
        dout_memory(query_block * dim),
        p_memory(query_block * tile_lanes),
        ds_memory(query_block * key_block),
        dq_memory(query_block * padded_dim) {}

  Rows<float> k() { return {k_memory.data(), padded_dim}; }   // [key_block, D]
  Rows<float> q() { return {q_memory.data(), dim}; }          // [query_block, D], scaled
  Rows<float> dout() { return {dout_memory.data(), dim}; }    // [query_block, D]
  Rows<float> p() { return {p_memory.data(), tile_lanes}; }   // [query_block, lanes]: one group's
  Rows<float> ds() { return {ds_memory.data(), key_block}; }  // [query_block, key_block]
  Rows<float> dq() {
    return {dq_memory.data(), padded_dim};
  }  // [query_block, D], this block's part

  int64_t dim, padded_dim;
  std::vector<Group> groups;
  AlignedFloats k_memory, q_memory, dout_memory, p_memory, ds_memory, dq_memory;
  PositionRange keys, queries;  // indices of the current blocks
  float lse[query_block] = {};  // to base 2; infinity for a query that sees no key
  float delta[query_block] = {};
  PositionRange seen[query_block] = {};  // the keys that each query sees
  bool one_key[query_block] = {};        // see IndexMask
};

float* row_values(const Tensor& x, int64_t batch, int64_t head) {  // of x [B, N, S]
  return x.data<float>() + batch * x.stride(0) + head * x.stride(1);
}

void take_keys(Workspace& work, StoredRows k, StoredRows v, PositionRange keys) {
  work.keys = keys;
  prefetch(k.from(keys.begin), keys.size(), work.dim);
  prefetch(v.from(keys.begin), keys.size(), work.dim);
  pack(k.from(keys.begin), keys.size(), work.dim, 1, work.padded_dim, work.k());
  for (int64_t g = 0; g < group_count; ++g) {
    Group& group = work.groups[static_cast<std::size_t>(g)];
    const int64_t begin = keys.begin + g * tile_lanes;
    pack_in_lanes(k.from(begin), keys.end - begin, work.dim, 1, group.k());
    pack_in_lanes(v.from(begin), keys.end - begin, work.dim, 1, group.v());
    std::fill_n(group.dk().data, work.dim * tile_lanes, 0.0f);
    std::fill_n(group.dv().data, work.dim * tile_lanes, 0.0f);
  }
}

// The fp32 tensor in which the blocks of keys sum dq.
const Tensor& dq_sum(const AttentionBackward& args) {
  return args.dq.dtype() == DType::f32 ? args.dq : args.dq_sum;
}

// The rows of one query head.
struct Head {
  StoredRows q, dout, dq;
  const float* lse;
  const float* delta;
};

Head head_of(const AttentionBackward& args, int64_t batch, int64_t head) {
  return {head_rows(args.q, batch, head), head_rows(args.dout, batch, head),
          head_rows(dq_sum(args), batch, head), row_values(args.lse, batch, head),
          row_values(args.delta, batch, head)};
}

void take_queries(Workspace& work, const Head& head, float scale, const IndexMask& mask,
                  PositionRange queries) {
  work.queries = queries;
  const int64_t begin = queries.begin, size = queries.size();
  pack(head.q.from(begin), size, work.dim, scale * detail::log2e, work.dim, work.q());
  pack(head.dout.from(begin), size, work.dim, 1, work.dim, work.dout());
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < size; ++i) {
    const float lse = head.lse[begin + i];
    work.lse[i] = lse == -infinity ? infinity : lse * detail::log2e;
    work.delta[i] = head.delta[begin + i];
    work.seen[i] = mask.keys_of(begin + i);
    work.one_key[i] = mask.one_key(begin + i);
  }
}

// The rows of the query block that see some of the keys, in whole tiles: so each tile of dq finds
// every ds that it needs.
PositionRange seeing_rows(const Workspace& work, const IndexMask& mask, PositionRange keys) {
  PositionRange rows = clamped(mask.queries_of(keys.begin, keys.end), work.queries);
  if (rows.size() <= 0) return {0, 0};
  rows = {rows.begin - work.queries.begin, rows.end - work.queries.begin};
  const int64_t end = round_up(rows.end, tile_rows);
  return {rows.begin / tile_rows * tile_rows, std::min(end, work.queries.size())};
}

// In place: scores become p = 2^(score - lse), dp becomes ds = p (dp - delta). Both are 0 where the
// mask hides the key, and ds is 0 for a query that sees one key only. The lanes are the keys from
// first_key on.
void softmax(const Workspace& work, PositionRange rows, int64_t first_key, Rows<float> p,
             Rows<float> ds) {
  IntVec lane_index;
  for (int lane = 0; lane < lanes; ++lane) lane_index[lane] = lane;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const PositionRange seen = work.seen[row];
    const bool all = seen.begin <= first_key && first_key + tile_lanes <= seen.end;
    for (int lane = 0; lane < tile_lanes; lane += lanes) {
      Vec weight = exp2(load(p[row] + lane) - work.lse[row]);
      if (!all) {
        const IntVec key = lane_index + static_cast<std::int32_t>(first_key + lane);
        const auto visible = (key >= splat_int(static_cast<std::int32_t>(seen.begin))) &
                             (key < splat_int(static_cast<std::int32_t>(seen.end)));
        weight = visible ? weight : Vec{};
      }
      store(p[row] + lane, weight);
      const Vec difference = weight * (load(ds[row] + lane) - work.delta[row]);
      store(ds[row] + lane, work.one_key[row] ? Vec{} : difference);
    }
  }
}

// dv += p^T dout, dk += ds^T q for group `g` of the keys. Stores its ds for dq.
void add_to_keys(Workspace& work, const IndexMask& mask, int64_t g) {
  const int64_t begin = work.keys.begin + g * tile_lanes;
  if (begin >= work.keys.end) return;
  const PositionRange rows =
      seeing_rows(work, mask, {begin, std::min(begin + tile_lanes, work.keys.end)});
  if (rows.size() == 0) return;
  Group& group = work.groups[static_cast<std::size_t>(g)];
  const Rows<float> p = work.p();
  const Rows<float> ds{work.ds().data + g * tile_lanes, key_block};
  const Rows<float> q = work.q().from(rows.begin), dout = work.dout().from(rows.begin);
  multiply(q, group.k(), rows.size(), work.dim, p.from(rows.begin));
  multiply(dout, group.v(), rows.size(), work.dim, ds.from(rows.begin));
  softmax(work, rows, begin, p, ds);
  multiply_add(dout, p.from(rows.begin), work.dim, rows.size(), nullptr, group.dv());
  multiply_add(q, ds.from(rows.begin), work.dim, rows.size(), nullptr, group.dk());
}

// dq = ds k of this block of keys, for whole tiles of rows.
void compute_queries(Workspace& work, const IndexMask& mask, PositionRange rows) {
  for (int64_t row = rows.begin; row < rows.end; row += tile_rows) {
    const int64_t size = std::min<int64_t>(tile_rows, rows.end - row);
    const int64_t query = work.queries.begin + row;
    const PositionRange keys = clamped(mask.keys_of(query, query + size), work.keys);
    const int64_t first = keys.begin - work.keys.begin;
    const Rows<float> ds{work.ds()[row] + first, key_block};
    for (int64_t d = 0; d < work.dim; d += tile_lanes) {
      multiply(ds, {work.k()[first] + d, work.padded_dim}, size, keys.size(),
               {work.dq()[row] + d, work.padded_dim});
    }
  }
}

// to += scale from.
void add_rows(Rows<const float> from, PositionRange rows, int64_t dim, float scale,
              Rows<float> to) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    int64_t d = 0;
    for (; d + lanes <= dim; d += lanes) {
      store(to[row] + d, load(to[row] + d) + scale * load(from[row] + d));
    }
    for (; d < dim; ++d) to[row][d] += scale * from[row][d];
  }
}

void write_keys(Workspace& work, StoredRows dk, StoredRows dv) {
  alignas(64) static constexpr auto ones = filled(1);
  alignas(64) static constexpr auto ln2s = filled(detail::ln2);
  prefetch(dk.from(work.keys.begin), work.keys.size(), work.dim);
  prefetch(dv.from(work.keys.begin), work.keys.size(), work.dim);
  for (int64_t begin = work.keys.begin; begin < work.keys.end; begin += tile_lanes) {
    Group& group = work.groups[static_cast<std::size_t>((begin - work.keys.begin) / tile_lanes)];
    const int64_t size = std::min<int64_t>(tile_lanes, work.keys.end - begin);
    unpack_from_lanes(group.dk(), size, work.dim, ln2s.data(), dk.from(begin));
    unpack_from_lanes(group.dv(), size, work.dim, ones.data(), dv.from(begin));
  }
}

// Adds to dk and dv, and computes this block's part of dq, for the current blocks of keys and
// queries. Returns the rows of dq that it computed. Prefetches the rows of `next`, the next block
// of queries.
PositionRange accumulate(Workspace& work, const Head& head, const IndexMask& mask,
                         PositionRange next) {
  for (int64_t g = 0; g < group_count; ++g) {
    const int64_t begin = next.begin + next.size() * g / group_count;
    const int64_t end = next.begin + next.size() * (g + 1) / group_count;
    prefetch(head.q.from(begin), end - begin, work.dim);
    prefetch(head.dout.from(begin), end - begin, work.dim);
    add_to_keys(work, mask, g);
  }
  const PositionRange rows = seeing_rows(work, mask, work.keys);
  prefetch(head.dq.from(work.queries.begin + rows.begin), rows.size(), work.dim);
  compute_queries(work, mask, rows);
  return rows;
}

// One block of keys of one key/value head, with all query heads that read it.
void process_key_block(const AttentionBackward& args, const BatchMask& masks, int64_t item,
                       Workspace& work, Relay& relay, Poller& poller) {
  const PositionRange queries{0, args.q.dim(1)}, keys{0, args.k.dim(1)};
  const int64_t kv_heads = args.k.dim(2), group_heads = args.q.dim(2) / kv_heads;
  const int64_t key_blocks = ceil_div(keys.end, key_block);
  const int64_t batch = item / key_blocks / kv_heads, kv_head = item / key_blocks % kv_heads;
  const int64_t first_key = item % key_blocks * key_block;
  const IndexMask mask = masks[batch];
  take_keys(work, head_rows(args.k, batch, kv_head), head_rows(args.v, batch, kv_head),
            clamped({first_key, first_key + key_block}, keys));

  const PositionRange seeing = mask.queries_of(work.keys.begin, work.keys.end);
  const int64_t first_query =
      seeing.size() > 0 ? seeing.begin / query_block * query_block : seeing.end;
  const auto block_from = [&](int64_t begin) {
    return clamped({begin, begin + query_block}, queries);
  };
  for (int64_t i = 0; i < group_heads; ++i) {
    const Head head = head_of(args, batch, kv_head * group_heads + i);
    const int64_t start = i * queries.end;  // steps of the relay count queries, head after head
    for (int64_t begin = first_query; begin < seeing.end; begin += query_block) {
      poller.between_blocks();
      const PositionRange block = block_from(begin);
      take_queries(work, head, args.scale, mask, block);
      const PositionRange rows = accumulate(work, head, mask, block_from(block.end));
      relay.wait_for_previous(item, start + block.begin, [&] { poller.between_blocks(); });
      add_rows(work.dq(), rows, work.dim, args.scale, head.dq.from(block.begin).as<float>());
      relay.pass(item, start + block.end);
    }
    relay.pass(item, start + queries.end);
  }
  write_keys(work, head_rows(args.dk, batch, kv_head), head_rows(args.dv, batch, kv_head));
}

// delta = the row sums of dout out, and dq = 0, for one query of each head. `scratch`: [2, D].
void prepare(const AttentionBackward& args, int64_t batch, int64_t query, Rows<float> scratch) {
  const int64_t dim = args.q.dim(3);
  for (int64_t head = 0; head < args.q.dim(2); ++head) {
    pack(head_rows(args.out, batch, head).from(query), 1, dim, 1, scratch.stride, scratch);
    pack(head_rows(args.dout, batch, head).from(query), 1, dim, 1, scratch.stride, scratch.from(1));
    Vec total{};
    for (int64_t d = 0; d < dim; d += lanes) total += load(scratch[0] + d) * load(scratch[1] + d);
    row_values(args.delta, batch, head)[query] = sum(total);
    std::fill_n(head_rows(dq_sum(args), batch, head).as<float>()[query], dim, 0.0f);
  }
}

// Rounds dq of one query of each head.
void round_queries(const AttentionBackward& args, int64_t batch, int64_t query) {
  const int64_t dim = args.q.dim(3);
  for (int64_t head = 0; head < args.q.dim(2); ++head) {
    map_vectors(
        {0, dim}, [](Vec x) { return x; }, head_rows(args.dq, batch, head).as<bfloat16>()[query],
        head_rows(args.dq_sum, batch, head).as<const float>()[query]);
  }
}

}  // namespace

void attention_backward(const Stream& stream, const AttentionBackward& args) {
  const int64_t batches = args.q.dim(0), queries = args.q.dim(1), keys = args.k.dim(1);
  const BatchMask masks(args.mask, queries, keys);
  const int64_t heads = batches * args.k.dim(2);
  const int64_t blocks = ceil_div(keys, key_block);
  Relay relay(blocks, heads);
  std::vector<Workspace> work(static_cast<std::size_t>(stream.threads()), Workspace(args.q.dim(3)));
  Poller poller(stream);
#pragma omp parallel num_threads(stream.threads())
  {
    Workspace& own = work[static_cast<std::size_t>(omp_get_thread_num())];
#pragma omp for schedule(static)
    for (int64_t row = 0; row < batches * queries; ++row) {
      poller.between_blocks();
      prepare(args, row / queries, row % queries, own.dq());
    }
    for (int64_t item = relay.take(); item < blocks * heads; item = relay.take()) {
      process_key_block(args, masks, item, own, relay, poller);
    }
    poller.finish_blocks();
    if (args.dq.dtype() != DType::f32) {
#pragma omp barrier
#pragma omp for schedule(static)
      for (int64_t row = 0; row < batches * queries; ++row) {
        poller.between_blocks();
        round_queries(args, row / queries, row % queries);
      }
    }
  }
  poller.rethrow_failure();
}

}  // namespace masformer::cpu
