// masformer eval
#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/mpi_main.h"
#include "launch/output/numbers.h"
#include "launch/output/standard_streams.h"
#include "launch/training/evaluation.h"
#include "model/state/config_json.h"
#include "model/state/model_state.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

struct EvalOptions {
  Options run;
  std::string checkpoint;
  std::string split = "held-out";
  bool json = false;
};

OptionTable describe(EvalOptions& options) {
  OptionTable table;
  table.add("checkpoint", options.checkpoint, {.value = "PATH", .help = "A checkpoint's folder."});
  table.add_flag("json", options.json, "Print one JSON object: loss, tokens.");
  describe_data(table, options.run);
  table.add(
      "eval.split", options.split,
      {.value = "NAME", .help = "The documents to take.", .choices = {"all", "train", "held-out"}});
  table.add("eval.windows", options.run.eval.windows,
            {.value = "N", .help = "Windows from the split's start; 0: all.", .minimum = 0});
  table.add(
      "train.sequence", options.run.train.sequence,
      {.value = "N", .help = "Tokens of a window. The checkpoint's, if not given.", .minimum = 1});
  table.add("train.micro_batch", options.run.train.micro_batch,
            {.value = "N", .help = "Windows that go through a stage at once.", .minimum = 1});
  describe_parallel(table, options.run);
  describe_runtime(table, options.run);
  return table;
}

// The plan of an evaluation: the checkpoint's model under the layout that was asked for.
RunPlan decide(const EvalOptions& options, const CheckpointReader& checkpoint, int ranks) {
  ModelConfig model =
      model_from_json(checkpoint.manifest().attributes.value("model", nlohmann::json()));
  Options run = options.run;
  const auto& p = run.parallel;
  const std::int64_t copies =
      std::max<std::int64_t>(ranks / (p.tensor * p.pipeline * p.context), 1);
  run.train.global_batch = run.train.micro_batch * copies * p.pipeline;
  return make_run_plan(run, ranks, std::move(model));
}

TokenStore open_store(const EvalOptions& options, std::int64_t vocab) {
  TokenStore store(options.run.data.path);
  if (store.largest_id() >= vocab) {
    refuse("{} holds token {}, beyond the checkpoint's vocabulary of {}", options.run.data.path,
           store.largest_id(), vocab);
  }
  return store;
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
  require_undamaged(*world, options.checkpoint, checkpoint.manifest());
  run_collectively(*world, [&] {
    const auto& attributes = checkpoint.manifest().attributes;
    auto record = attributes.value("options", std::map<std::string, std::string>());
    std::erase_if(record, [](const auto& entry) {
      return entry.first != "train.sequence" && entry.first != "data.held_out";
    });
    table.apply_record(record);
  });
  RunPlan plan =
      run_collectively(*world, [&] { return decide(options, checkpoint, world->size()); });
  const TokenStore store =
      run_collectively(*world, [&] { return open_store(options, plan.model.vocab); });
  Job job(session, std::move(plan), Purpose::evaluation, options.run.runtime);
  run_collectively(*world, [&] { load_weights(job.stream, checkpoint, job.stage.parameters()); });
  const Split split(store, parse_split(options.split), options.run.data.held_out);
  const Evaluation result = job.run([&] { return evaluate(job, split, options.run.eval.windows); });
  on_first_rank(*world, [&] {
    if (options.json) {
      print_result("{}\n", json_line({{"loss", result.loss}, {"tokens", result.tokens}}));
    } else {
      print_result("loss {:.6f} nats per token over {} tokens of {} ({}), in {}\n",
                   without_nan_sign(result.loss), result.tokens, options.run.data.path,
                   options.split, name_of(job.plan.policy.dtype));
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
