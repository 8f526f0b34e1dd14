// data.document_mask in whole runs: layouts agree, and losses, tokens and FLOPs count what the mask
// leaves.
#include <cmath>

#include <gtest/gtest.h>

#include "data/loader.h"
#include "data/token_store.h"
#include "model/cost/flops.h"
#include "runtime/random.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

// Documents of 1 to 40 tokens, or all of one length.
std::filesystem::path short_documents(const Scratch& scratch, std::uint64_t length = 0) {
  const auto path = scratch.path("short.h5");
  TokenStoreWriter writer(path, "test", 257);
  for (std::uint64_t d = 0; d < 300; ++d) {
    std::vector<std::uint32_t> ids(length > 0 ? length : 1 + mix(d, 0) % 40);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<std::uint32_t>((d * 7 + i * i + mix(d, i) % 3) % 256);
    }
    writer.add_document(ids);
  }
  writer.commit();
  return path;
}

class DocumentMask : public testing::Test {
 protected:
  // Options for a run on `store` that is evaluated after 4 steps.
  static Training with(Training layout, const std::filesystem::path& store) {
    for (const std::string& word :
         {std::string("--data.path"), store.string(), std::string("--data.document_mask"),
          std::string("true"), std::string("--train.steps"), std::string("4"),
          std::string("--eval.every"), std::string("4"), std::string("--eval.windows"),
          std::string("0"), std::string("--train.dump_gradients_at"), std::string("1")}) {
      layout.options.push_back(word);
    }
    return layout;
  }

  Scratch scratch_;
};

// As with documents longer than a sample: the mask is that of the span alone.
TEST_F(DocumentMask, OfWholeSamplesChangesNoGradient) {
  const auto store = short_documents(scratch_, 4000);
  for (const std::string full : {"ring", "heads"}) {
    Training training = with({.context = 2, .options = {"--parallel.context_full", full}}, store);
    ASSERT_EQ(train(scratch_, "masked " + full, training).status, 0);
    for (const char* const word : {"--data.document_mask", "false"}) {
      training.options.emplace_back(word);
    }
    ASSERT_EQ(train(scratch_, "plain " + full, training).status, 0);
    const auto dump = [&](const std::string& run) {
      return scratch_.path(run + full) / "gradients" / "step-00000001";
    };
    EXPECT_LT(worst_difference(dump("masked "), dump("plain ")), 5e-6) << full;
  }
}

TEST_F(DocumentMask, GivesTheSameResultsUnderEveryLayout) {
  const auto store = short_documents(scratch_);
  const std::vector<Training> layouts{
      {},
      {.data = 2},
      {.context = 2, .options = {"--parallel.context_order", "contiguous"}},
      {.context = 4, .options = {"--train.micro_batch", "2"}},
      {.tensor = 2, .context = 2, .options = {"--train.recompute", "selective"}},
      {.pipeline = 2, .context = 2, .options = {"--train.recompute", "block"}},
      {.data = 2, .context = 2}};
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    const std::string name = "run" + std::to_string(i);
    const Finished finished = train(scratch_, name, with(layouts[i], store));
    ASSERT_EQ(finished.status, 0) << finished.output;
    EXPECT_NE(finished.output.find("documents masked"), std::string::npos) << finished.output;
    const auto dump = [&](const std::string& run) {
      return scratch_.path(run) / "gradients" / "step-00000001";
    };
    EXPECT_LT(worst_difference(dump(name), dump("run0")), 5e-6) << name;
    const auto lines = metrics(scratch_, name), expected = metrics(scratch_, "run0");
    ASSERT_EQ(lines.size(), 4u);
    EXPECT_NEAR(lines[0]["loss"].get<double>() / expected[0]["loss"].get<double>(), 1, 5e-7);
    EXPECT_NEAR(lines[3]["eval_loss"].get<double>() / expected[3]["eval_loss"].get<double>(), 1,
                5e-6);
  }
}

TEST_F(DocumentMask, CountsPredictedTokensAndVisiblePairs) {
  const auto path = short_documents(scratch_);
  ASSERT_EQ(train(scratch_, "run", with({.context = 2}, path)).status, 0);
  const auto lines = metrics(scratch_, "run");
  EXPECT_EQ(lines[3]["tokens"], 4 * 8 * 48);  // what the model has seen
  const TokenStore store(path);
  Window window = whole_window(48);
  window.document_mask = true;

  const Finished finished =
      run({program(), "eval", "--checkpoint", checkpoint(scratch_, "run", 4).string(),
           "--data.path", path.string(), "--json"});
  ASSERT_EQ(finished.status, 0) << finished.output;
  const nlohmann::json evaluated = nlohmann::json::parse(finished.output);
  EXPECT_NEAR(evaluated["loss"].get<double>() / lines[3]["eval_loss"].get<double>(), 1, 5e-7);
  const Split held_out(store, SplitKind::held_out, 0.05);
  PackedDocuments documents;
  for (std::int64_t i = 0; i < window_count(held_out.tokens(), 48); ++i) {
    documents.add(held_out, window, i);
  }
  EXPECT_EQ(evaluated["tokens"], documents.predicted_tokens);

  const ModelConfig model{.hidden = 32,
                          .vocab = 257,
                          .positions = 48,
                          .blocks = blocks_of_spans(parse_spans("full,window:8,block:16,window:16"),
                                                    {.heads = 4}, GeluMlpSpec{128})};
  const SequenceFlops flops(model, 48);
  const Split training(store, SplitKind::train, 0.05);
  double expected = 0;
  for (const auto& starts : Loader(training, {window, 8, 0, 1, 1}).documents(0).starts) {
    expected += training_per_forward * flops.forward(starts);
  }
  const double counted =
      lines[0]["model_flops_per_second"].get<double>() * lines[0]["step_seconds"].get<double>();
  EXPECT_NEAR(counted / expected, 1, 1e-6);
  EXPECT_LT(counted, 8 * training_per_forward * flops.forward(PairCount::visible));
}

TEST_F(DocumentMask, IsFixedOnAResume) {
  const auto store = short_documents(scratch_);
  ASSERT_EQ(train(scratch_, "run", with({}, store)).status, 0);
  Training without = with({}, store);
  for (const char* const word : {"--data.document_mask", "false", "--train.steps", "6"}) {
    without.options.emplace_back(word);
  }
  const Finished finished = train(scratch_, "run", without);
  EXPECT_NE(finished.status, 0);
  EXPECT_NE(finished.output.find("data.document_mask=false, but it was true"), std::string::npos)
      << finished.output;
}

// Before the first step, so that no work is lost.
TEST_F(DocumentMask, RefusesAnEvaluationThatPredictsNothing) {
  Training training = with({}, short_documents(scratch_, 1));
  for (const char* const word : {"--data.held_out", "0.5"}) training.options.emplace_back(word);
  const Finished finished = train(scratch_, "run", training);
  EXPECT_NE(finished.status, 0);
  EXPECT_NE(finished.output.find("windows to evaluate predict no token"), std::string::npos)
      << finished.output;
  EXPECT_TRUE(!std::filesystem::exists(scratch_.path("run") / "metrics.jsonl") ||
              metrics(scratch_, "run").empty());
}

TEST_F(DocumentMask, RefusesABatchThatPredictsNothing) {
  Training training = with({}, short_documents(scratch_, 1));
  for (const char* const word : {"--eval.every", "0"}) training.options.emplace_back(word);
  const Finished finished = train(scratch_, "run", training);
  EXPECT_NE(finished.status, 0);
  EXPECT_NE(finished.output.find("step 1 predicts no token, since each of its documents has only "
                                 "one"),
            std::string::npos)
      << finished.output;
}

}  // namespace
}  // namespace masformer::test
