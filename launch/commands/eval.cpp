// masformer eval
#include <fmt/format.h>

#include "data/loader.h"
#include "launch/commands.h"
#include "launch/mpi_main.h"
#include "launch/options/limits.h"
#include "launch/output/numbers.h"
#include "launch/output/standard_streams.h"
#include "launch/plan/split_remedy.h"
#include "launch/training/evaluation.h"
#include "launch/training/plan_agreement.h"
#include "launch/training/same_values.h"
#include "model/state/config_json.h"
#include "model/state/model_state.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

struct EvalOptions {
  Options run;
  std::string checkpoint;
  SplitKind split = SplitKind::held_out;
  bool json = false;
};

OptionTable describe(EvalOptions& options) {
  OptionTable table;
  table.add("checkpoint", options.checkpoint,
            {.value = "PATH", .help = "Folder of the checkpoint to evaluate."});
  table.add_flag("json", options.json,
                 "Print one JSON object with the loss and the number of tokens.");
  describe_data(table, options.run);
  table.add("eval.split", options.split,
            {.value = "NAME", .help = "The documents to evaluate, by the split of training."});
  table.add("eval.windows", options.run.eval.windows, {0, limits::steps},
            {.value = "N",
             .help = "Number of windows to evaluate, from the start of the split. 0: all."});
  table.add("train.sequence", options.run.train.sequence, {1, limits::tokens},
            {.value = "N", .help = "Tokens per window."});
  table.add("train.micro_batch", options.run.train.micro_batch, {1, limits::samples},
            {.value = "N", .help = "Windows per micro-batch."});
  describe_parallel(table, options.run);
  describe_runtime(table, options.run);
  table.inherit({"train.sequence", "data.held_out", "data.document_mask"});
  return table;
}

// Plans the evaluation of the checkpoint's model with the layout of the options.
RunPlan decide(const EvalOptions& options, const CheckpointReader& checkpoint, int ranks) {
  ModelConfig model =
      model_from_json(checkpoint.manifest().attributes.value("model", nlohmann::json()));
  return make_evaluation_plan(options.run, ranks, std::move(model));
}

TokenStore open_store(const EvalOptions& options, std::int64_t vocab) {
  TokenStore store(options.run.data.path);
  if (store.largest_id() >= vocab) {
    refuse("{} holds token {}, beyond the checkpoint's vocabulary of {}", options.run.data.path,
           store.largest_id(), vocab);
  }
  return store;
}

void require_window(const EvalOptions& options, const TokenStore& store, const Split& split) {
  const std::int64_t sequence = options.run.train.sequence;
  if (window_count(split.tokens(), sequence) > 0) return;
  const bool smaller = split.tokens() < store.tokens() && store.tokens() > sequence;
  refuse(
      "eval.split={} of {} has {} tokens, too few for a window of train.sequence={} and the token "
      "after it: {}{}",
      name_of(options.split), options.run.data.path, split.tokens(), sequence,
      smaller ? "use --eval.split all, or " : "",
      short_split_remedy(store, options.split, sequence));
}

ExitCode eval(const MpiSession& session, const EvalOptions& options, OptionTable& table) {
  const auto world = session.world();
  CheckpointReader checkpoint = run_collectively(*world, [&] {
    if (options.checkpoint.empty() || options.run.data.path.empty()) {
      refuse("eval needs --checkpoint CHECKPOINT and --data.path STORE");
    }
    CheckpointReader reader(options.checkpoint);
    require_training(reader);
    return reader;
  });
  require_same_checkpoint(*world, checkpoint.manifest());
  require_undamaged(*world, options.checkpoint, checkpoint.manifest());
  run_collectively(*world, [&] {
    table.apply_inherited(
        checkpoint.manifest().attributes.value("options", std::map<std::string, std::string>()));
  });
  const auto record = table.record();
  require_same_values(*world, {record.begin(), record.end()}, "give all ranks the same value");
  RunPlan plan =
      run_collectively(*world, [&] { return decide(options, checkpoint, world->size()); });
  require_same_plan(*world, plan);
  const TokenStore store =
      run_collectively(*world, [&] { return open_store(options, plan.model.vocab); });
  require_same_store(*world, store);
  const Split split(store, options.split, options.run.data.held_out);
  run_collectively(*world, [&] { require_window(options, store, split); });
  Job job(session, std::move(plan), Purpose::evaluation, options.run.runtime);
  run_collectively(*world, [&] { load_weights(job.stream, checkpoint, job.stage.parameters()); });
  const Evaluation result = job.run([&] { return evaluate(job, split, options.run.eval.windows); });
  on_first_rank(*world, [&] {
    if (options.json) {
      print_result("{}\n", json_line({{"loss", result.loss}, {"tokens", result.tokens}}));
    } else {
      print_result("loss {:.6f} nats per token over {} tokens of {} ({}), in {}\n",
                   without_nan_sign(result.loss), result.tokens, options.run.data.path,
                   name_of(options.split), name_of(job.plan.policy.dtype));
    }
  });
  return ExitCode::done;
}

}  // namespace

ExitCode eval_command(const Arguments& arguments) {
  EvalOptions options;
  options.run.eval.windows = 0;
  OptionTable table = describe(options);
  return run_on_ranks(arguments,
                      {.name = "eval", .options = table, .run = [&](const MpiSession& session) {
                         return eval(session, options, table);
                       }});
}

}  // namespace masformer
