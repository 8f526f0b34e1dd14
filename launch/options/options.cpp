#include "launch/options/options.h"

namespace masformer {
namespace {

constexpr auto fixed = OnResume::must_match;

// Bounds that no real run reaches, and that keep products of them within 64 bits.
constexpr double max_ranks = 1 << 15, widest = 1 << 20, longest = 1 << 28;

void describe_optimizer(OptionTable& table, Options& o) {
  table.add("train.lr", o.train.lr,
            {.value = "X",
             .help = "Learning rate at the end of the warm-up.",
             .minimum = 0,
             .maximum = 1e6});
  table.add("train.min_lr", o.train.min_lr,
            {.value = "X",
             .help = "Learning rate at the last step, which half a cosine leads to. -1: a tenth of "
                     "train.lr.",
             .minimum = -1});
  table.add("train.warmup_steps", o.train.warmup_steps,
            {.value = "N", .help = "Steps of linear warm-up.", .minimum = 0});
  table.add(
      "train.weight_decay", o.train.weight_decay,
      {.value = "X", .help = "AdamW's, of matrices; norms and biases have none.", .minimum = 0});
  table.add("train.beta1", o.train.beta1,
            {.value = "X", .help = "AdamW's first point.", .minimum = 0, .maximum = 0.999999});
  table.add("train.beta2", o.train.beta2,
            {.value = "X", .help = "AdamW's second point.", .minimum = 0, .maximum = 0.999999});
  table.add("train.epsilon", o.train.epsilon,
            {.value = "X", .help = "AdamW's epsilon.", .minimum = 1e-30, .maximum = 1});
  table.add("train.clip", o.train.clip,
            {.value = "X", .help = "Largest global gradient norm; 0 does not clip.", .minimum = 0});
}

void describe_output(OptionTable& table, Options& o) {
  table.add("eval.every", o.eval.every,
            {.value = "N",
             .help = "Steps between losses on held-out text, the last step included; 0: never.",
             .minimum = 0});
  table.add("eval.windows", o.eval.windows,
            {.value = "N", .help = "Held-out windows for each; 0: all.", .minimum = 0});
  table.add("checkpoint.every", o.checkpoint.every,
            {.value = "N",
             .help = "Steps between checkpoints, one after the last step included. 0: only after "
                     "the last step. -1: none, except when a signal stops the run.",
             .minimum = -1});
  table.add("checkpoint.keep", o.checkpoint.keep,
            {.value = "N", .help = "Newest checkpoints that are kept; 0: all.", .minimum = 0});
  table.add("checkpoint.resume", o.checkpoint.resume,
            {.value = "HOW",
             .help = "auto: from the newest good checkpoint of run.dir; none: anew, what stands in "
                     "run.dir is set aside; or a checkpoint's path."});
  table.add(
      "checkpoint.init", o.checkpoint.init,
      {.value = "PATH", .help = "A checkpoint to take weights from, at step 0 of a new run."});
  table.add("run.dir", o.run.dir, {.value = "PATH", .help = "Where metrics and checkpoints go."});
  table.add(
      "log.every", o.log.every,
      {.value = "N", .help = "Steps between lines where output is no terminal.", .minimum = 1});
  table.add(
      "log.live", o.log.live,
      {.value = "HOW",
       .help = "One line that changes in place; auto: where output is a terminal, which ranks of "
               "a plain mpirun can't tell.",
       .choices = {"auto", "on", "off"}});
}

}  // namespace

void describe_model(OptionTable& table, Options& o) {
  table.add("model.layers", o.model.layers,
            {.value = "N",
             .help = "Blocks. 0: as many as model.spans names, else 4.",
             .on_resume = fixed,
             .minimum = 0,
             .maximum = Options::max_layers});
  table.add("model.hidden", o.model.hidden,
            {.value = "N", .help = "Width.", .on_resume = fixed, .minimum = 1, .maximum = widest});
  table.add("model.heads", o.model.heads,
            {.value = "N",
             .help = "Attention heads.",
             .on_resume = fixed,
             .minimum = 1,
             .maximum = widest});
  table.add("model.ffn", o.model.ffn,
            {.value = "N",
             .help = "Inner width of the MLP. 0: 4 model.hidden.",
             .on_resume = fixed,
             .minimum = 0,
             .maximum = widest});
  table.add("model.vocab", o.model.vocab,
            {.value = "N",
             .help = "Words. 0: the token store's.",
             .on_resume = fixed,
             .minimum = 0,
             .maximum = longest});
  table.add("model.positions", o.model.positions,
            {.value = "N",
             .help = "Longest sequence, tokens. 0: train.sequence.",
             .on_resume = fixed,
             .minimum = 0,
             .maximum = longest});
  table.add("model.spans", o.model.spans,
            {.value = "LIST",
             .help = "A span for each layer: full, window:W, block:B; *N repeats, as in "
                     "'full*8,window:256*16' (quoted for the shell). Empty: all full.",
             .on_resume = fixed});
  table.add("model.attention_scale", o.model.attention_scale,
            {.value = "HOW",
             .help = "What multiplies q.k: 1 as in GPT-Neo, whose weights are scaled for "
                     "it, or 1/sqrt(d) as in most models, d being hidden / heads.",
             .on_resume = fixed,
             .choices = {"1", "1/sqrt(d)"}});
  table.add("model.tied", o.model.tied,
            {.value = "BOOL", .help = "The head shares the token embedding.", .on_resume = fixed});
  table.add(
      "model.init_deviation", o.model.init_deviation,
      {.value = "X", .help = "Standard deviation of the weights at the start.", .minimum = 0});
}

void describe_parallel(OptionTable& table, Options& o) {
  table.add(
      "parallel.tensor", o.parallel.tensor,
      {.value = "N", .help = "Ranks that split each layer.", .minimum = 1, .maximum = max_ranks});
  table.add("parallel.sequence_parallel", o.parallel.sequence_parallel,
            {.value = "BOOL",
             .help = "Tensor ranks share the tokens of norms, residual sums and messages between "
                     "stages; else each has all."});
  table.add("parallel.pipeline", o.parallel.pipeline,
            {.value = "N",
             .help = "Stages that the layers are divided into.",
             .minimum = 1,
             .maximum = max_ranks});
  table.add("parallel.context", o.parallel.context,
            {.value = "N",
             .help = "Ranks that split each sequence; 1 for now.",
             .minimum = 1,
             .maximum = max_ranks});
  table.add("parallel.data", o.parallel.data,
            {.value = "N",
             .help = "Copies of the model, each with its part of the batch. 0: what is left of the "
                     "ranks.",
             .minimum = 0,
             .maximum = max_ranks});
  table.add("parallel.schedule", o.parallel.schedule,
            {.value = "NAME", .help = "The pipeline's schedule.", .choices = {"gpipe", "1f1b"}});
  table.add("parallel.partition", o.parallel.partition,
            {.value = "LIST",
             .help = "Blocks of each stage: even, auto (for now the same), or counts, as in "
                     "7,6,6,5."});
}

void describe_train(OptionTable& table, Options& o) {
  table.add("train.steps", o.train.steps,
            {.value = "N", .help = "Steps of the whole run.", .minimum = 1});
  table.add("train.sequence", o.train.sequence,
            {.value = "N",
             .help = "Tokens of a sample.",
             .on_resume = fixed,
             .minimum = 1,
             .maximum = longest});
  table.add("train.global_batch", o.train.global_batch,
            {.value = "N",
             .help = "Samples of a step, over all ranks.",
             .on_resume = fixed,
             .minimum = 1,
             .maximum = longest});
  table.add("train.micro_batch", o.train.micro_batch,
            {.value = "N",
             .help = "Samples that go through a stage at once.",
             .minimum = 1,
             .maximum = longest});
  describe_optimizer(table, o);
  table.add("train.seed", o.train.seed,
            {.value = "N",
             .help = "Of the weights' start and the samples' order.",
             .on_resume = fixed,
             .minimum = 0});
  table.add("train.dtype", o.train.dtype,
            {.value = "NAME",
             .help = "What weights, activations and their gradients are held in. Masters, "
                     "gradients of weights and statistics are fp32 in any case.",
             .choices = {"fp32", "bf16"}});
  table.add("train.recompute", o.train.recompute,
            {.value = "LIST",
             .help = "What blocks compute again in their backward instead of keeping it: none, "
                     "selective (attention and GELU) or block (all); one for all blocks, or a list "
                     "as in block*8,none*16. The results are the same bits."});
  table.add("train.dump_gradients_at", o.train.dump_gradients_at,
            {.value = "N",
             .help = "A step whose summed gradients, before clipping, are written to "
                     "RUN_DIR/gradients. 0: none.",
             .minimum = 0});
  table.add("train.profile_step", o.train.profile_step,
            {.value = "N",
             .help = "A step whose time is printed by kind of op, and by kind of layer and pass, "
                     "for one rank of each pipeline stage. 0: none.",
             .minimum = 0});
}

void describe_data(OptionTable& table, Options& o) {
  table.add("data.path", o.data.path,
            {.value = "PATH", .help = "The token store, from `masformer prepare`."});
  table.add("data.held_out", o.data.held_out,
            {.value = "X",
             .help = "Share of the documents that is not trained on.",
             .on_resume = fixed,
             .minimum = 0,
             .maximum = 0.9});
}

void describe_runtime(OptionTable& table, Options& o) {
  table.add("runtime.device", o.runtime.device,
            {.value = "NAME", .help = "Where the layers compute.", .choices = {"cpu", "cuda"}});
  table.add(
      "runtime.transport", o.runtime.transport,
      {.value = "NAME",
       .help = "How tensors on devices travel: by NCCL, or through the host by MPI. auto: NCCL "
               "where each rank has a device of its own.",
       .choices = {"auto", "nccl", "mpi"}});
  table.add("runtime.deterministic", o.runtime.deterministic,
            {.value = "BOOL",
             .help = "On CUDA devices: the same bits each time, by a backward of attention that is "
                     "slower and takes memory for each pair of tokens. On CPUs they are the same "
                     "anyway."});
  table.add("runtime.threads", o.runtime.threads,
            {.value = "N",
             .help = "Threads of each rank. 0: OMP_NUM_THREADS, else cores over ranks.",
             .minimum = 0});
}

OptionTable describe(Options& options) {
  OptionTable table;
  table.allow_config();
  describe_model(table, options);
  describe_parallel(table, options);
  describe_train(table, options);
  describe_data(table, options);
  describe_output(table, options);
  describe_runtime(table, options);
  return table;
}

}  // namespace masformer
