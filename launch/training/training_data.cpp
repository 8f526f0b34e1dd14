#include "launch/training/training_data.h"

#include <fmt/format.h>

#include "launch/plan/split_remedy.h"
#include "launch/training/evaluation.h"
#include "parallel/comm/collective_errors.h"

namespace masformer {
namespace {

LoaderOptions loader_options(const Options& options, const Job& job) {
  return {.window = job.window(),
          .global_batch = options.train.global_batch,
          .shard = job.groups.at.data,
          .shards = job.plan.mesh.data,
          .seed = static_cast<std::uint64_t>(options.train.seed)};
}

void check_held_out(const Options& options, const Window& window, const TokenStore& store,
                    const Split& held_out) {
  if (options.eval.every == 0) return;
  const std::int64_t sequence = options.train.sequence;
  if (window_count(held_out.tokens(), sequence) > 0) {
    tokens_to_evaluate(held_out, window, options.eval.windows);
    return;
  }
  throw AgreedUsageError(fmt::format(
      "eval.every={}, but the held-out documents have {} tokens, too few for train.sequence={}: "
      "{}, or leave eval.every at 0",
      options.eval.every, held_out.tokens(), sequence,
      short_split_remedy(store, SplitKind::held_out, sequence)));
}

std::string digest_on_first_rank(Communicator& world, const TokenStore& store) {
  std::string digest;
  on_first_rank(world, [&] { digest = store.digest(); });
  return world.all_gather(digest)[0];
}

}  // namespace

TrainingData::TrainingData(Job& job, const Options& options, const TokenStore& store)
    : train_(store, SplitKind::train, options.data.held_out),
      held_out_(store, SplitKind::held_out, options.data.held_out),
      loader_(run_collectively(job.world(),
                               [&] { return Loader(train_, loader_options(options, job)); })) {
  check_held_out(options, job.window(), store, held_out_);
  digest_ = digest_on_first_rank(job.world(), store);
}

}  // namespace masformer
