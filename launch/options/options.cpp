#include "launch/options/options.h"

#include <limits>

#include "launch/options/limits.h"
#include "model/cost/device_figures.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/span.h"

namespace masformer {
namespace {

constexpr auto fixed = OnResume::must_match;
constexpr double largest_real = std::numeric_limits<double>::max();
constexpr double largest_fp32 = std::numeric_limits<float>::max();  // of what ops take as a float

void describe_optimizer(OptionTable& table, Options& o) {
  table.add("train.lr", o.train.lr, {0, 1e6},
            {.value = "X", .help = "Learning rate at the end of the warm-up."});
  table.add("train.min_lr", o.train.min_lr, {-1, 1e6},
            {.value = "X",
             .help = "Learning rate at the last step, reached along half a cosine. -1: a tenth of "
                     "train.lr."});
  table.add("train.warmup_steps", o.train.warmup_steps, {0, limits::steps},
            {.value = "N", .help = "Steps of linear warm-up."});
  table.add("train.weight_decay", o.train.weight_decay, {0, largest_fp32},
            {.value = "X", .help = "Weight decay of matrices (norms and biases have none)."});
  table.add("train.beta1", o.train.beta1, {0, 0.999999},
            {.value = "X", .help = "AdamW's decay rate of the mean of gradients."});
  table.add("train.beta2", o.train.beta2, {0, 0.999999},
            {.value = "X", .help = "AdamW's decay rate of the mean of squared gradients."});
  table.add("train.epsilon", o.train.epsilon, {1e-30, 1},
            {.value = "X", .help = "AdamW's epsilon."});
  table.add("train.clip", o.train.clip, {0, largest_real},
            {.value = "X", .help = "Largest global gradient norm. 0: do not clip."});
}

void describe_plan(OptionTable& table, Options& o) {
  std::vector<std::string> devices{""};
  for (const DeviceFigures& row : device_figures()) devices.emplace_back(row.name);
  table.add("plan.device", o.plan.device,
            {.value = "NAME",
             .help = "The device that masformer plan predicts for. Empty: that of runtime.device.",
             .choices = devices});
  table.add("plan.memory_gib", o.plan.memory_gib, {0, 1e6},
            {.value = "X",
             .help = "Memory per rank to plan for, in GiB: parallel.partition=auto and "
                     "train.recompute=auto keep every rank within it. 0: on CPUs the "
                     "host's, on devices no limit; plan and train --plan take the device's, or an "
                     "even share of the host's."});
  table.add("plan.profile", o.plan.profile,
            {.value = "BOOL",
             .help = "Time each kind of layer at the start, on all ranks at once, and divide the "
                     "blocks by these times instead of by the cost model. Takes seconds; times are "
                     "kept in XDG_CACHE_HOME/masformer, where masformer plan finds them; it times "
                     "nothing itself."});
}

void describe_output(OptionTable& table, Options& o) {
  table.add(
      "eval.every", o.eval.every, {0, limits::steps},
      {.value = "N",
       .help = "Steps between evaluations on held-out text; the last step is always evaluated. "
               "0: never."});
  table.add("eval.windows", o.eval.windows, {0, limits::steps},
            {.value = "N", .help = "Held-out windows per evaluation. 0: all."});
  table.add("checkpoint.every", o.checkpoint.every, {-1, limits::steps},
            {.value = "N",
             .help = "Steps between checkpoints, one after the last step included. 0: only after "
                     "the last step. -1: none, except when a signal stops the run."});
  table.add("checkpoint.keep", o.checkpoint.keep, {0, limits::steps},
            {.value = "N", .help = "How many checkpoints to keep, the newest ones. 0: all."});
  table.add("checkpoint.resume", o.checkpoint.resume,
            {.value = "HOW",
             .help = "auto: resume from the newest undamaged checkpoint of run.dir. none: start "
                     "again and set aside what run.dir holds. Or the path of a checkpoint."});
  table.add(
      "checkpoint.init", o.checkpoint.init,
      {.value = "PATH", .help = "A checkpoint whose weights a new run starts from, at step 0."});
  table.add("run.dir", o.run.dir,
            {.value = "PATH", .help = "The folder for metrics and checkpoints."});
  table.add("log.every", o.log.every, {1, limits::steps},
            {.value = "N", .help = "Steps between lines where output is not a terminal."});
  table.add("log.live", o.log.live,
            {.value = "HOW",
             .help = "Print steps as one line that changes in place. auto: where output is a "
                     "terminal, which ranks of a plain mpirun cannot tell."});
  table.add(
      "log.tensorboard", o.log.tensorboard,
      {.value = "BOOL", .help = "Write the metrics to RUN_DIR/tensorboard, too, for TensorBoard."});
}

}  // namespace

void describe_model(OptionTable& table, Options& o) {
  table.add("model.layers", o.model.layers, {0, limits::layers},
            {.value = "N",
             .help = "Number of blocks. 0: as many as model.spans lists, or 4 if it is empty.",
             .on_resume = fixed});
  table.add("model.hidden", o.model.hidden, {1, limits::width},
            {.value = "N", .help = "Width of the residual stream.", .on_resume = fixed});
  table.add("model.heads", o.model.heads, {1, limits::width},
            {.value = "N", .help = "Attention heads.", .on_resume = fixed});
  table.add("model.ffn", o.model.ffn, {0, limits::width},
            {.value = "N",
             .help = "Width of the MLP's inner layer. 0: 4 times model.hidden.",
             .on_resume = fixed});
  table.add("model.vocab", o.model.vocab, {0, limits::tokens},
            {.value = "N",
             .help = "Size of the vocabulary. 0: that of the token store.",
             .on_resume = fixed});
  table.add("model.positions", o.model.positions, {0, limits::tokens},
            {.value = "N",
             .help = "Rows of the table of learned positions, the longest sequence in tokens. 0: "
                     "train.sequence. Other kinds of positions have no table and no limit.",
             .on_resume = fixed});
  table.add("model.positions_kind", o.model.positions_kind,
            {.value = "NAME",
             .help = "How tokens know their positions. learned: a table. rotary: queries and keys "
                     "are rotated by angles (RoPE). none: from the attention masks alone.",
             .on_resume = fixed});
  table.add("model.rotary_theta", o.model.rotary_theta, {1, 1e15},
            {.value = "X",
             .help = "Base of the angles of rotary positions. Long contexts use larger ones.",
             .on_resume = fixed});
  table.add("model.rotary_theta_window", o.model.rotary_theta_window, {0, 1e15},
            {.value = "X",
             .help = "The same for layers with a window or blocks. 0: model.rotary_theta.",
             .on_resume = fixed});
  table.add(
      "model.spans", o.model.spans,
      {.value = "LIST",
       .help = "Attention span of each layer: " + span_forms() +
               "; *N repeats, as in 'full*8,window:256*16' (quoted for the shell). Empty: full "
               "in all layers.",
       .on_resume = fixed});
  table.add("model.attention_scale", o.model.attention_scale,
            {.value = "HOW",
             .help = "Factor of q.k: 1 as in GPT-Neo, whose weights are scaled for it, or "
                     "1/sqrt(d) as in most models, where d is model.hidden / model.heads.",
             .on_resume = fixed});
  table.add("model.tied", o.model.tied,
            {.value = "BOOL",
             .help = "Use the token embedding as the head's matrix.",
             .on_resume = fixed});
  // With more, products of weights leave the range of fp32.
  table.add("model.init_deviation", o.model.init_deviation, {0, 100},
            {.value = "X", .help = "Standard deviation of the initial weights."});
}

void describe_parallel(OptionTable& table, Options& o) {
  table.add("parallel.tensor", o.parallel.tensor, {1, limits::ranks},
            {.value = "N", .help = "Ranks that each layer is split over."});
  table.add("parallel.sequence_parallel", o.parallel.sequence_parallel,
            {.value = "BOOL",
             .help = "Split norms, residual sums and messages between stages over tensor ranks by "
                     "tokens. false: each tensor rank holds all tokens."});
  table.add("parallel.pipeline", o.parallel.pipeline, {1, limits::ranks},
            {.value = "N", .help = "Stages that the layers are divided into."});
  table.add(
      "parallel.context", o.parallel.context, {1, limits::ranks},
      {.value = "N",
       .help =
           "Ranks that each sequence is split over. Only attention exchanges keys and values."});
  table.add("parallel.context_order", o.parallel.context_order,
            {.value = "NAME",
             .help = "Which tokens each context rank holds. contiguous: one part each. zigzag: an "
                     "early and a late part each, which balances causal attention. auto: what "
                     "costs the slowest rank least under the model's spans."});
  table.add("parallel.context_full", o.parallel.context_full,
            {.value = "NAME",
             .help = "How context ranks share the attention of layers whose span is full. ring: by "
                     "tokens. heads: each computes its share of the heads for all tokens; "
                     "parallel.context must divide model.heads / parallel.tensor. Sends fewer "
                     "bytes on more than two ranks. auto: what is possible and takes the shorter "
                     "step by the cost model. eval takes auto as ring."});
  table.add("parallel.data", o.parallel.data, {0, limits::ranks},
            {.value = "N",
             .help = "Copies of the model, each with its share of the batch. 0: ranks / "
                     "(parallel.tensor x parallel.pipeline x parallel.context)."});
  table.add(
      "parallel.schedule", o.parallel.schedule,
      {.value = "NAME",
       .help = "Pipeline schedule. zero-bubble: ZB-H1. zero-bubble-v: ZB-V. auto: the fastest "
               "by simulation in the memory of 1f1b, with the costs that blocks are divided by.",
       .choices = schedule_names()});
  table.add("parallel.chunks", o.parallel.chunks, {0, limits::layers},
            {.value = "N",
             .help = "Parts of the model on each pipeline stage. 0: the schedule's own number, 2 "
                     "for interleaved and zero-bubble-v, else 1."});
  table.add("parallel.partition", o.parallel.partition,
            {.value = "LIST",
             .help = "Blocks of each stage: auto (those with which a step is shortest by the "
                     "cost model, within the stages' memory), even, or a count per stage, as in "
                     "7,6,6,5. With "
                     "several parts per stage, a count per part, in the order of the model. eval "
                     "takes auto as even."});
}

void describe_train(OptionTable& table, Options& o) {
  table.add("train.steps", o.train.steps, {1, limits::steps},
            {.value = "N", .help = "Steps of the whole run."});
  table.add("train.sequence", o.train.sequence, {1, limits::tokens},
            {.value = "N", .help = "Tokens per sample.", .on_resume = fixed});
  table.add("train.global_batch", o.train.global_batch, {1, limits::samples},
            {.value = "N", .help = "Samples per step, over all ranks.", .on_resume = fixed});
  table.add("train.micro_batch", o.train.micro_batch, {1, limits::samples},
            {.value = "N", .help = "Samples that pass through a stage at once."});
  describe_optimizer(table, o);
  table.add("train.seed", o.train.seed, {0, std::numeric_limits<std::int64_t>::max()},
            {.value = "N",
             .help = "Seed of the initial weights and of the order of samples.",
             .on_resume = fixed});
  table.add("train.dtype", o.train.dtype,
            {.value = "NAME",
             .help = "Type of weights, activations and activation gradients. Master weights, "
                     "weight gradients and statistics are always fp32."},
            {DType::f32, DType::bf16});
  table.add("train.recompute", o.train.recompute,
            {.value = "LIST",
             .help = "What each block recomputes in its backward pass instead of storing it: none, "
                     "selective (attention and GELU) or block (everything). Give one value for all "
                     "blocks, or a list such as block*8,none*16. auto: what each pipeline stage "
                     "must, to fit its memory. Results are bit-identical."});
  table.add("train.ffn_block", o.train.ffn_block, {0, limits::tokens},
            {.value = "N",
             .help = "Tokens that each MLP computes at a time on a rank, which keeps its inner "
                     "activations for so many tokens only. Recomputes them in the backward pass, "
                     "whatever train.recompute says: one more matrix product beside six, and none "
                     "more in blocks that train.recompute=block recomputes anyway. Results differ "
                     "by rounding. 0: all tokens at once."});
  table.add("train.dump_gradients_at", o.train.dump_gradients_at, {0, limits::steps},
            {.value = "N",
             .help = "Step whose summed gradients, before clipping, are written to "
                     "RUN_DIR/gradients. 0: none."});
  table.add("train.profile_step", o.train.profile_step, {0, limits::steps},
            {.value = "N",
             .help = "Step whose time is printed by kind of op, and by kind of layer and pass, for "
                     "one rank of each pipeline stage. 0: none."});
}

void describe_data(OptionTable& table, Options& o) {
  table.add("data.path", o.data.path,
            {.value = "PATH", .help = "Token store, written by `masformer prepare`."});
  table.add("data.held_out", o.data.held_out, {0, 0.9},
            {.value = "X",
             .help = "Fraction of the documents that is kept out of training.",
             .on_resume = fixed});
  table.add("data.document_mask", o.data.document_mask,
            {.value = "BOOL",
             .help = "Treat each document of a sample as a sequence of its own: attention does not "
                     "cross to another, positions start again at 0, and the last token predicts "
                     "nothing.",
             .on_resume = fixed});
}

void describe_runtime(OptionTable& table, Options& o) {
  table.add("runtime.device", o.runtime.device,
            {.value = "NAME", .help = "Device that layers run on."});
  table.add("runtime.transport", o.runtime.transport,
            {.value = "NAME",
             .help = "How tensors travel between devices: nccl, or mpi through host memory. auto: "
                     "nccl where each rank has its own device."});
  table.add("runtime.deterministic", o.runtime.deterministic,
            {.value = "BOOL",
             .help = "Give the same bits every time on CUDA devices, too. Attention's backward "
                     "pass is then slower and takes memory for each pair of tokens."});
  table.add("runtime.threads", o.runtime.threads, {0, limits::threads},
            {.value = "N",
             .help = "Threads per rank. 0: OMP_NUM_THREADS, or without it the cores divided by "
                     "the ranks on this host."});
}

OptionTable describe(Options& options) {
  OptionTable table;
  table.allow_config();
  describe_model(table, options);
  describe_parallel(table, options);
  describe_train(table, options);
  describe_data(table, options);
  describe_plan(table, options);
  describe_output(table, options);
  describe_runtime(table, options);
  return table;
}

}  // namespace masformer
