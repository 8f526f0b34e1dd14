// Attention that context ranks share, against one call of the op over the whole sequence: also with
// fewer heads of keys than of queries, which no model has yet.
#include "model/layers/sequence_attention.h"

#include <gtest/gtest.h>

#include "runtime/ops/attention/attention.h"
#include "tests/support/shared_attention.h"
#include "tests/support/transports.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

constexpr std::int64_t sequence = 48, heads = 4, head_dim = 8, samples = 2;
constexpr float scale = 0.3F;

// What every rank knows of the whole sequence, and the results of one call.
struct Whole {
  OwnedTensor qkv, dout, out, dqkv;

  Whole(const AttentionCase& c, const Stream& stream)
      : qkv(normals({samples, sequence, c.geometry.qkv_width()}, 1)),
        dout(normals({samples, sequence, c.geometry.width()}, 2)),
        out({samples, sequence, c.geometry.width()}),
        dqkv({samples, sequence, c.geometry.qkv_width()}) {
    const OwnedTensor lse({samples, heads, sequence}), delta({samples, heads, sequence});
    const OwnedTensor first_keys =
        integers(samples * sequence, [&](std::int64_t i) { return c.first_key(i % sequence); });
    const AttentionMask mask{.span = c.geometry.span,
                             .first_keys = Tensor(first_keys).reshape({samples, sequence})};
    const auto part = [&](const Tensor& x, int index) {
      const std::int64_t widths[] = {c.geometry.width(), c.geometry.key_width()};
      const std::int64_t first = index == 0 ? 0 : widths[0] + (index - 1) * widths[1];
      const std::int64_t width = widths[index == 0 ? 0 : 1];
      return x.slice(2, first, width).reshape({samples, sequence, width / head_dim, head_dim});
    };
    attention(stream, {.q = part(qkv, 0),
                       .k = part(qkv, 1),
                       .v = part(qkv, 2),
                       .mask = mask,
                       .scale = scale,
                       .out = part(out, 0),
                       .lse = lse});
    attention_backward(stream, {.q = part(qkv, 0),
                                .k = part(qkv, 1),
                                .v = part(qkv, 2),
                                .mask = mask,
                                .scale = scale,
                                .out = part(out, 0),
                                .lse = lse,
                                .dout = part(dout, 0),
                                .delta = delta,
                                .dq = part(dqkv, 0),
                                .dk = part(dqkv, 1),
                                .dv = part(dqkv, 2),
                                .dq_sum = {}});
  }
};

// The numbers of a rank's rows of x [samples, sequence, ...].
Numbers rows_of(const Tensor& x, const SequenceSharding& sharding, int rank) {
  const Numbers all = values(x);
  Numbers own;
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    for (std::int64_t row = 0; row < sharding.rows(); ++row) {
      const auto* const from =
          all.data() + (sample * sequence + sharding.position(rank, row)) * x.dim(2);
      own.insert(own.end(), from, from + x.dim(2));
    }
  }
  return own;
}

void expect_equal(const AttentionCase& c, Sharing way, const ProcessGroups& groups,
                  const Stream& stream) {
  const Whole whole(c, stream);
  const int rank = groups.context->rank();
  SharedAttention shared(c, way, groups, *groups.context);
  const auto own = [&](const Tensor& x) { return rows_of(x, c.sharding, rank); };
  const auto fill = [](const Tensor& x, const Numbers& numbers) {
    set(x, [&](std::int64_t i) { return numbers[static_cast<std::size_t>(i)]; });
  };
  fill(shared.qkv, own(whole.qkv));
  fill(shared.dout, own(whole.dout));
  shared.run(stream);
  EXPECT_LT(difference(shared.out, own(whole.out)), 1e-6);
  EXPECT_LT(difference(shared.dqkv, own(whole.dqkv)), 2e-6);
}

TEST(SequenceAttention, EqualsOneCallForAnyNumberOfKeyHeads) {
  const int ranks = world().size();
  const ProcessGroups groups = make_groups(ways().front(), Mesh{.context = ranks});
  for (const bool zigzag : {false, true}) {
    const auto sharding = zigzag ? SequenceSharding::zigzag(sequence, ranks)
                                 : SequenceSharding::contiguous(sequence, ranks);
    for (const char* const span : {"full", "window:5", "window:30", "block:20"}) {
      for (const std::int64_t key_heads : {1, 2, 4}) {
        for (const std::vector<std::int64_t>& starts :
             {std::vector<std::int64_t>{}, {0, 7, 8, 20}}) {
          const AttentionGeometry geometry{parse_span(span), scale, heads, key_heads, head_dim};
          const AttentionCase c{sharding, geometry, starts, samples};
          SCOPED_TRACE(testing::Message()
                       << span << ", " << key_heads << " heads of keys, " << sharding.to_string()
                       << ", " << starts.size() << " documents");
          expect_equal(c, Sharing::visible_rows, groups, stream());
          const bool full = geometry.span.kind == SpanKind::full;
          if (full && ranks > 1 && key_heads % ranks == 0) {
            expect_equal(c, Sharing::by_heads, groups, stream());
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace masformer::test
