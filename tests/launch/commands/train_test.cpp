// `masformer train` as users and other tools see it: layouts agree, metrics are complete, and
// evaluation gives the same loss during a run and after it.
#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "runtime/ops/linear.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

TEST(TrainCommand, GivesTheSameGradientsUnderEveryLayout) {
  const Scratch scratch;
  const std::vector<std::string> dump{"--train.dump_gradients_at", "1"};
  const std::vector<Training> layouts{{.options = dump},
                                      {.tensor = 2, .options = dump},
                                      {.pipeline = 2, .options = dump},
                                      {.data = 2, .options = dump},
                                      {.tensor = 2, .pipeline = 2, .options = dump}};
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    const std::string name = "run" + std::to_string(i);
    const Finished finished = train(scratch, name, layouts[i]);
    ASSERT_EQ(finished.status, 0) << finished.output;
    const auto gradients = scratch.path(name) / "gradients" / "step-00000001";
    const auto reference = scratch.path("run0") / "gradients" / "step-00000001";
    EXPECT_LT(worst_difference(gradients, reference), 5e-6) << name;
    const auto lines = metrics(scratch, name);
    const auto expected = metrics(scratch, "run0");
    ASSERT_EQ(lines.size(), 20u);
    const auto ratio = [&](std::size_t step, const char* what) {
      return lines[step][what].get<double>() / expected[step][what].get<double>();
    };
    EXPECT_NEAR(ratio(0, "loss"), 1, 5e-7) << name;
    EXPECT_NEAR(ratio(0, "grad_norm"), 1, 1e-6) << name;
    EXPECT_NEAR(ratio(19, "loss"), 1, 5e-6) << name;
  }
}

TEST(TrainCommand, WritesTheMetricsThatOtherToolsRead) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", {.tensor = 2, .pipeline = 2}).status, 0);
  const auto lines = metrics(scratch, "run");
  ASSERT_EQ(lines.size(), 20u);
  const nlohmann::json& last = lines.back();
  EXPECT_EQ(last["step"], 20);
  EXPECT_EQ(last["tokens"], 20 * 8 * 48);
  for (const char* const name :
       {"loss", "grad_norm", "lr", "step_seconds", "tokens_per_second", "model_flops_per_second",
        "mfu", "mfu_dense", "peak_memory_bytes", "bubble"}) {
    EXPECT_GT(last[name].get<double>(), 0) << name;
  }
  EXPECT_GT(last["mfu_dense"], last["mfu"]);
  EXPECT_LT(last["bubble"], 1);
  // The groups' working memory counts from the first step on: 2 MiB for the tensor ranks' sums.
  EXPECT_GT(lines[0]["peak_memory_bytes"], 2 << 20);
  EXPECT_EQ(lines[0]["peak_memory_bytes"], last["peak_memory_bytes"]);
  const auto sent = [&](const char* axis) { return last["sent_bytes"][axis].get<std::int64_t>(); };
  EXPECT_EQ(sent("context"), 0);
  // The residual stream has 8 micro-batches of 48 tokens with 32 floats each. It crosses the one
  // boundary between stages forward and backward, half of it on each tensor rank. Both stages sum
  // their half of the padded token table, 288 rows of 32.
  const std::int64_t stream = 8 * 48 * 32 * 4;
  const std::int64_t table = 288 * 32 * 4 * 2;
  EXPECT_EQ(sent("pipeline"), 2 * stream + table);
  // Two tensor ranks exchange it 8 times per block, forward and backward after each norm and before
  // each residual sum, and twice in the embedding and the head. They also reduce the softmax's
  // largest logit, sum and target of every token.
  EXPECT_EQ(sent("tensor"), (4 * 8 + 2 + 2) * stream + 2 * 3 * 8 * 48 * 4);
  // Each has a partial gradient of the 9 norms.
  EXPECT_EQ(sent("data"), 2 * 9 * 2 * 32 * 4);
  // Half of the exchanges are all-gathers, and half reduce-scatters.
  const std::int64_t softmax = 2 * 3 * 8 * 48 * 4, exchanges = sent("tensor") - softmax;
  EXPECT_EQ(last["sent_bytes_by_operation"],
            (nlohmann::json{{"tensor",
                             {{"all_reduce", softmax},
                              {"reduce_scatter", exchanges / 2},
                              {"all_gather", exchanges / 2}}},
                            {"pipeline", {{"send", 2 * stream}, {"all_reduce", table}}},
                            {"data", {{"all_reduce", sent("data")}}}}));
  EXPECT_LT(last["loss"].get<double>(), 0.8 * lines[0]["loss"].get<double>());
}

constexpr std::int64_t hidden = 32, blocks = 4, norms = 2 * blocks + 1;
// Elements of the residual stream in a step, 8 sequences of 48 tokens; and bytes of the largest
// logit, sum and target of each token, fp32, which each of two tensor ranks counts once.
constexpr std::int64_t stream = 8 * 48 * hidden, softmax = 2 * 3 * 8 * 48 * 4;

// Elements of all parameters that the tensor ranks hold together. They split the token table, whose
// rows are padded to 16 per rank, and in each block q, k, v and their projection (4 matrices of
// H x H), the MLP's two matrices (as large as 8 of those) and the bias of the first (4 H). Each
// rank has a copy of the positions, of the norms' weights and biases, and of a block's other two
// biases.
std::int64_t stored_elements(std::int64_t ranks) {
  const std::int64_t rows = (257 + 16 * ranks - 1) / (16 * ranks) * (16 * ranks);
  const std::int64_t split = rows * hidden + blocks * (12 * hidden * hidden + 4 * hidden);
  const std::int64_t copied = 48 * hidden + norms * 2 * hidden + blocks * 2 * hidden;
  return split + ranks * copied;
}

struct Traffic {
  Training training;
  nlohmann::json sent;  // by axis and operation
};

// ZeRO over two data ranks: each sends the other one's rows of each gradient (fp32), and later its
// own rows of each value, so both operations move every element once.
Traffic of_two_data_ranks() {
  const std::int64_t bytes = 4 * stored_elements(1);
  return {{.data = 2}, {{"data", {{"reduce_scatter", bytes}, {"all_gather", bytes}}}}};
}

// The same for both tensor ranks, with values in bf16. Two tensor ranks exchange the residual
// stream 8 times per block and 4 times at the model's ends, half all-gathers and half
// reduce-scatters, in bf16 too. At both places of the data axis they sum the norms' gradients
// (fp32), each counting the tensor once.
Traffic of_four_ranks_in_bf16() {
  const std::int64_t elements = stored_elements(2);
  const std::int64_t exchanged = (4 * blocks + 2) * stream * 2;
  return {{.tensor = 2, .data = 2, .options = {"--train.dtype", "bf16"}},
          {{"tensor",
            {{"all_reduce", softmax}, {"reduce_scatter", exchanged}, {"all_gather", exchanged}}},
           {"data",
            {{"all_reduce", 2 * 2 * norms * 2 * hidden * 4},
             {"reduce_scatter", 4 * elements},
             {"all_gather", 2 * elements}}}}};
}

// If every tensor rank has all tokens, the residual stream is summed twice per block in the forward
// and twice in the backward, once in the embedding and once below the head. Each rank counts it
// once. No gradient is partial.
Traffic of_tensor_ranks_with_all_tokens() {
  const std::int64_t sums = (4 * blocks + 2) * 2 * stream * 4;
  return {{.tensor = 2, .options = {"--parallel.sequence_parallel", "false"}},
          {{"tensor", {{"all_reduce", sums + softmax}}}}};
}

// Rank 1 holds the second half of each sequence of 48 tokens, and sees of the first half: 24 rows
// of keys and values in a full layer, 7 under window:8, 24 under block:16, 15 under window:16.
// Their gradients return. Only the full layer's rows travel again in the backward. Optimizer state
// is divided as among data ranks.
Traffic of_two_context_ranks() {
  const std::int64_t row = 2 * hidden * 4, full = 24, spans = 7 + 24 + 15;
  const std::int64_t sent = 8 * row * (3 * full + 2 * spans), bytes = 4 * stored_elements(1);
  return {
      {.context = 2,
       .options = {"--parallel.context_order", "contiguous", "--parallel.context_full", "ring"}},
      {{"context", {{"send", sent}}},
       {"data", {{"reduce_scatter", bytes}, {"all_gather", bytes}}}}};
}

// By heads, a rank sends of the full layer, for each other of P ranks, 1/P of the heads of its S/P
// rows of q, k, v and the result, 4 (S/P) (P - 1)/P hidden elements, and as many gradients in the
// backward. The windows are as above. Recomputation sends what the forward sent once more, and with
// `selective` the result alone.
Traffic of_context_ranks_by_heads(const std::string& recompute) {
  const std::int64_t windows = 8 * 2 * hidden * 4 * 2 * (7 + 24 + 15);
  const std::int64_t once = 8 * 2 * (24 * hidden / 2) * 4;  // one of q, k, v, result; both ranks
  const std::int64_t again = recompute == "none" ? 0 : recompute == "selective" ? 1 : 4;
  const std::int64_t windows_again = recompute == "none" ? 0 : windows / 2;
  const std::int64_t bytes = 4 * stored_elements(1);
  return {{.context = 2,
           .options = {"--parallel.context_order", "contiguous", "--parallel.context_full", "heads",
                       "--train.recompute", recompute}},
          {{"context", {{"send", (4 + 4 + again) * once + windows + windows_again}}},
           {"data", {{"reduce_scatter", bytes}, {"all_gather", bytes}}}}};
}

TEST(TrainCommand, SendsTheBytesThatItsLayoutNeeds) {
  const Scratch scratch;
  std::vector<Traffic> table{of_two_data_ranks(),
                             of_tensor_ranks_with_all_tokens(),
                             of_two_context_ranks(),
                             of_context_ranks_by_heads("none"),
                             of_context_ranks_by_heads("selective"),
                             of_context_ranks_by_heads("block")};
  if (supports_matmul(Stream(Device::cpu, 1), DType::bf16))
    table.push_back(of_four_ranks_in_bf16());
  for (std::size_t i = 0; i < table.size(); ++i) {
    const std::string name = "run" + std::to_string(i);
    const Finished finished = train(scratch, name, table[i].training);
    ASSERT_EQ(finished.status, 0) << finished.output;
    for (const nlohmann::json& line : metrics(scratch, name)) {
      ASSERT_EQ(line["sent_bytes_by_operation"], table[i].sent) << name;
    }
  }
}

// The wrapper tells whether a person is watching, but log.live in a file overrides that.
TEST(TrainCommand, TakesTheLiveLineFromTheFileUnderTheWrapper) {
  const Scratch scratch;
  for (const std::string live : {"on", "auto"}) {
    const fs::path file = scratch.path(live + ".ini");
    std::ofstream(file) << "[log]\nlive = " << live << "\n";
    const Finished finished =
        run(launched_words(scratch, live, {.options = {"--config", file.string()}}));
    ASSERT_EQ(finished.status, 0) << finished.output;
    const bool changes_in_place = finished.output.find("\r\033[Kstep 1/") != std::string::npos;
    EXPECT_EQ(changes_in_place, live == "on") << finished.output;  // the output here is a pipe
  }
}

TEST(TrainCommand, EvaluatesToTheSameLossAsEvalUnderAnyLayout) {
  const Scratch scratch;
  const Training training{.pipeline = 2, .options = {"--eval.every", "10", "--eval.windows", "0"}};
  ASSERT_EQ(train(scratch, "run", training).status, 0);
  const double during = metrics(scratch, "run").back()["eval_loss"];
  const std::vector<std::string> words{
      "eval",        "--checkpoint",           checkpoint(scratch, "run", 20).string(),
      "--data.path", scratch.store().string(), "--json"};
  const auto evaluate = [&](std::vector<std::string> before, std::vector<std::string> after) {
    before.insert(before.end(), words.begin(), words.end());
    before.insert(before.end(), after.begin(), after.end());
    const Finished finished = run(before);
    EXPECT_EQ(finished.status, 0) << finished.output;
    return nlohmann::json::parse(finished.output);
  };
  const nlohmann::json alone = evaluate({program()}, {});
  EXPECT_NEAR(alone["loss"].get<double>() / during, 1, 5e-7);
  const nlohmann::json split =
      evaluate({program(), "run", "-n", "4", "--"}, {"--parallel.tensor", "2"});
  EXPECT_NEAR(split["loss"].get<double>() / during, 1, 5e-7);
  EXPECT_EQ(split["tokens"], alone["tokens"]);
  const nlohmann::json all = evaluate({program()}, {"--eval.split", "all"});
  EXPECT_GT(all["tokens"].get<std::int64_t>(), 15 * alone["tokens"].get<std::int64_t>());
  EXPECT_EQ(all["tokens"].get<std::int64_t>() % 48, 0);
}

}  // namespace
}  // namespace masformer::test
