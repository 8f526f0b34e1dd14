// Commands with unusable arguments: the exit status, and the message. Refusals of `train` alone are
// in train_refusal_test.cpp and run_plan_test.cpp.
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <sys/file.h>
#include <vector>

#include <gtest/gtest.h>

#include "data/token_store.h"
#include "launch/commands.h"
#include "runtime/io/file.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

struct Call {
  Words words;
  std::string message;
  int status = 2;
  std::map<std::string, std::string> environment{};
};

TEST(Commands, EachExplainsItselfWithItsUsage) {
  for (const Command& command : all_commands()) {
    const Finished finished = run({program(), std::string(command.name), "--help"});
    EXPECT_EQ(finished.status, 0) << finished.output;
    EXPECT_TRUE(finished.output.starts_with(usage_of(command.name))) << finished.output;
  }
}

class CommandRefusal : public testing::Test {
 protected:
  // A folder with a trained run, text, and files that no command accepts.
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<Scratch>();
    write("notes", "notes");
    write("latin/a.txt", "caf\xe9");
    write("short/a.txt", "a few words");
    fs::create_directories(path("empty"));
    train({"--data.path", store(), "--run.dir", path("run")});
    train({"--data.path", store(), "--run.dir", path("untied"), "--model.tied", "false"});
    succeed({"prepare", "--input", path("short"), "--output", path("short.h5")});
    succeed({"prepare", "--input", path("text/00.txt"), "--output", path("other.h5")});
    TokenStoreWriter rare(path("rare.h5"), "words", 1000);
    rare.add_document(std::vector<std::uint32_t>(100, 999));
    rare.commit();
    fs::copy(step(), path("edited"));
    write("edited/manifest.json", "{\"digest\": \"0\"}");
    flip_byte("signature", 0);
    flip_byte("middle", fs::file_size(step() + "/shard-00000.h5") / 2);
    fs::copy(step(), path("bare"));
    fs::remove(path("bare/shard-00000.h5"));
    write("bad/checkpoints/step-00000001/manifest.json", "{}");
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static std::string path(const std::string& name) { return scratch_->path(name).string(); }
  static std::string store() { return scratch_->store().string(); }
  static std::string step() { return path("run/checkpoints/step-00000002"); }

  static void expect_refusal(const Call& call) {
    Words words{program()};
    words.insert(words.end(), call.words.begin(), call.words.end());
    const Finished finished = run(words, call.environment);
    EXPECT_EQ(finished.status, call.status) << finished.output;
    EXPECT_NE(finished.output.find(call.message), std::string::npos) << call.message << "\nnot in\n"
                                                                     << finished.output;
  }

  // `train` of a tiny model.
  static Words train_words(const Words& more) {
    Words words{"train",
                "--model.hidden",
                "16",
                "--train.steps",
                "2",
                "--model.spans",
                "full,window:8",
                "--train.sequence",
                "32",
                "--runtime.threads",
                "1",
                "--train.global_batch",
                "2"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

 private:
  static void write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
  }
  // A copy of the checkpoint in which one byte is flipped.
  static void flip_byte(const std::string& copy, std::uintmax_t at) {
    fs::copy(step(), path(copy));
    std::fstream file(path(copy + "/shard-00000.h5"),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    const char flipped = static_cast<char>(~file.peek());
    file.write(&flipped, 1);
  }
  static void succeed(Words words) {
    words.insert(words.begin(), program());
    const Finished finished = run(words);
    ASSERT_EQ(finished.status, 0) << finished.output;
  }
  static void train(const Words& more) { succeed(train_words(more)); }

  static std::unique_ptr<Scratch> scratch_;
};

std::unique_ptr<Scratch> CommandRefusal::scratch_;

TEST_F(CommandRefusal, ProgramNamesAnUnknownCommand) {
  for (const Call& call : std::vector<Call>{
           {{}, "masformer COMMAND"},
           {{"trian"}, "masformer: there is no command trian: see masformer --help"}}) {
    expect_refusal(call);
  }
}

TEST_F(CommandRefusal, RunNamesUnusableWords) {
  for (const Call& call :
       std::vector<Call>{{{"run", "-n"}, "run: -n needs a number of ranks"},
                         {{"run", "-n", "32769", "--", "train"}, "at most 32768"},
                         {{"run", "-n", "4294967297", "--", "train"}, "4294967297"},
                         {{"run", "--bogus"}, "run: give the number of ranks"},
                         {{"run", "-n2", "--bogus", "--", "train"}, "unknown option \"--bogus\""},
                         {{"run", "--np", "2", "--", "trian"}, "run: there is no command trian"},
                         {{"run", "-n", "2", "--", "train"}, "data.path is not set"},
                         {{"run", "-n", "2", "--", "train"},
                          "can't start mpirun: No such file or directory: install OpenMPI",
                          1,
                          {{"PATH", "/nowhere"}}}}) {
    expect_refusal(call);
  }
}

TEST_F(CommandRefusal, PrepareNamesUnusableInput) {
  const auto prepare = [](const Words& more) {
    Words words{"prepare", "--input", path("text"), "--output", path("new.h5")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  for (const Call& call : std::vector<Call>{
           {{"prepare"}, "prepare needs --input PATH... and --output FILE"},
           {{"prepare", "--input", path("text")}, "prepare needs --input"},
           {prepare({"--outptu", "x"}), "there is no option outptu: did you mean output?"},
           {prepare({"--input", path("nowhere")}), "nowhere: No such file or directory"},
           {prepare({"--input", path("latin")}), "a.txt is not UTF-8 text at byte 3"},
           {prepare({"--output", path("nowhere/x.h5")}), "there is no folder " + path("nowhere")},
           {prepare({"--output", path("empty")}), "it is a folder; name a file in it"},
           {prepare({"--output", path("notes")}), "notes exists and is not a token store"},
           {prepare({"--input", path("notes"), "--output", path("notes")}),
            "notes would be overwritten: name another --output"},
           {prepare({"--suffix", ".none"}), "no document in " + path("text") + " (0 files"},
           {{"prepare", "--input", path("empty"), "--output", path("new.h5")}, "no document in"},
           {prepare({"--separator", "a\nb"}), "a separator is one line"},
           {prepare({"--tokenizer", "words"}), "there is no tokenizer \"words\": use \"byte\""}}) {
    expect_refusal(call);
  }
  EXPECT_FALSE(fs::exists(path("new.h5")));
}

TEST_F(CommandRefusal, InspectNamesUnusableAndDamagedCheckpoints) {
  const std::string missing = "bare/shard-00000.h5: missing";
  const std::string differs = "shard-00000.h5: digest differs";
  for (const Call& call : std::vector<Call>{
           {{"inspect"}, "inspect takes the folder of one checkpoint, but 0 are given"},
           {{"inspect", step(), step()},
            "inspect takes the folder of one checkpoint, but 2 are given"},
           {{"inspect", step(), "--jsn"}, "there is no option jsn: did you mean json?"},
           {{"inspect", path("nowhere")}, "nowhere is not a checkpoint"},
           {{"inspect", path("run")},
            "run is not a checkpoint: it has no manifest.json; it is a run folder: use one of "},
           {{"inspect", step(), "--compare", path("nowhere")}, "nowhere is not a checkpoint"},
           {{"inspect", step(), "--compare", path("untied/checkpoints/step-00000002")},
            "the checkpoints hold different tensors:\n  lm_head.weight is not in " + step()},
           {{"inspect", path("edited")}, "its digest differs: the file was damaged or edited", 1},
           {{"inspect", path("bare"), "--verify"}, missing, 1},
           {{"inspect", path("bare"), "--compare", step(), "--verify"}, missing, 1},
           {{"inspect", step(), "--compare", path("bare"), "--verify"}, missing, 1},
           {{"inspect", path("bare"), "--compare", step()}, "shard-00000.h5: missing", 1},
           {{"inspect", path("middle"), "--verify"}, "middle/" + differs, 1},
           {{"inspect", path("middle"), "--compare", step()}, differs, 1},
           // The digest is checked before HDF5 sees the file.
           {{"inspect", path("signature"), "--compare", step()}, differs, 1},
           {{"inspect", step(), "--compare", path("signature")}, differs, 1}}) {
    expect_refusal(call);
  }
}

TEST_F(CommandRefusal, EvalNamesUnusableOptionsAndInput) {
  const auto eval = [](const std::string& checkpoint, const Words& more) {
    Words words{"eval", "--checkpoint", checkpoint, "--data.path", store()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  for (const Call& call : std::vector<Call>{
           {{"eval"}, "eval needs --checkpoint CHECKPOINT and --data.path STORE"},
           {{"eval", "--checkpoint", step()}, "eval needs --checkpoint"},
           {eval(step(), {"--eval.splitt", "all"}), "there is no option eval.splitt"},
           {eval(step(), {"--eval.split", "test"}),
            "eval.split=test is not known: pick one of all, train, held-out"},
           {eval(path("nowhere"), {}), "nowhere is not a checkpoint"},
           {eval(path("edited"), {}), "its digest differs", 1},
           {eval(path("bare"), {}), "shard-00000.h5", 1},
           {eval(step(), {"--data.path", path("nowhere")}), "No such file or directory"},
           {eval(step(), {"--data.path", path("notes")}), "notes is not a usable token store"},
           {eval(step(), {"--data.path", path("short.h5"), "--eval.split", "all"}),
            "eval.split=all of " + path("short.h5") + " has 12 tokens" +
                ", too few for a window of train.sequence=32 and the token after it: lower "
                "train.sequence below the 12 tokens of the store, or use a larger one\n"},
           {eval(step(), {"--data.path", path("other.h5")}),
            "eval.split=held-out of " + path("other.h5") + " has 0 tokens" +
                ", too few for a window of train.sequence=32 and the token after it: use "
                "--eval.split all, or use a store of several documents, since the first is never "
                "held out\n"},
           {eval(step(), {"--data.path", path("rare.h5")}),
            "rare.h5 holds token 999, beyond the checkpoint's vocabulary of 257"},
           {eval(step(), {"--data.held_out", "1"}), "data.held_out=1 is too large: at most 0.9"},
           {eval(step(), {"--train.sequence", "64"}),
            "train.sequence=64 is longer than model.positions=32: lower train.sequence, since the "
            "checkpoint has no more learned positions"},
           {eval(step(), {"--train.micro_batch", "288230376151711744"}),
            "train.micro_batch=288230376151711744 is too large: at most 268435456"},
           {eval(step(), {"--train.micro_batch", "268435456"}),
            "train.micro_batch=268435456 x train.sequence=32 is more than 2147483647 tokens"},
           {eval(step(), {"--eval.windows", "9223372036854775807"}),
            "eval.windows=9223372036854775807 is too large"},
           {eval(step(), {"--train.sequence", "4611686018427387904"}),
            "train.sequence=4611686018427387904 is too large"},
           {eval(step(), {"--parallel.tensor", "2"}), "does not make 1 rank:"}}) {
    expect_refusal(call);
  }
}

TEST_F(CommandRefusal, TrainNamesUnusableOptionsAndInput) {
  const auto train = [](const Words& more) {
    Words words = train_words({"--data.path", store(), "--run.dir", path("new")});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  fs::create_directories(path("locked"));
  const io::File lock(path("locked/.lock"), O_RDWR | O_CREAT);
  ASSERT_EQ(flock(lock.descriptor(), LOCK_EX), 0);
  const Words diverging{"--train.lr", "1e6", "--train.weight_decay", "1e38"};
  for (const Call& call : std::vector<Call>{
           {train_words({}), "data.path is not set: name a token store, from masformer prepare"},
           {train({"--data.path", path("nowhere")}), "No such file or directory"},
           {train({"--data.path", path("text")}),
            "text is not a regular file; a token store is a file"},
           {train({"--data.path", path("notes")}), "notes is not a usable token store"},
           {train({"--data.path", path("short.h5")}),
            "12 tokens in 1 documents are too few for one sample of 32 tokens"},
           {train({"--train.dtype", "bf16"}),
            "train.dtype=bf16 requires AVX-512, which this CPU lacks; use train.dtype=fp32",
            2,
            {{"DNNL_MAX_CPU_ISA", "AVX2"}}},
#ifndef __clang__  // whose OpenMP runtime takes memory for all of them at once
           {train({"--runtime.threads", "0"}),
            "OMP_NUM_THREADS=99999999 is not a number of threads from 1 to 4096",
            2,
            {{"OMP_NUM_THREADS", "99999999"}}},
#endif
           {train({"--run.dir", path("notes")}), "run.dir=" + path("notes") + " can't be written"},
           {train({"--run.dir", path("locked")}),
            "run.dir=" + path("locked") + " is in use by another job: stop that job"},
           {train({"--data.path", path("other.h5"), "--run.dir", path("run")}),
            "data.path holds other tokens: their digest is "},
           {train({"--data.path", path("other.h5"), "--data.held_out", "0.5", "--eval.every", "1"}),
            "eval.every=1, but the held-out documents have 0 tokens, too few for "
            "train.sequence=32: use a store of several documents, since the first is never held "
            "out, or leave eval.every at 0"},
           {train({"--data.held_out", "1"}), "data.held_out=1 is too large: at most 0.9"},
           {train({"--data.held_out", "-0.1"}), "data.held_out=-0.1 is too small: at least 0"},
           {train({"--checkpoint.resume", path("edited")}), "its digest differs", 1},
           {train({"--checkpoint.init", path("bare")}), "shard-00000.h5", 1},
           {train({"--run.dir", path("bad")}), "no checkpoint in " + path("bad"), 1},
           {train(diverging), "not finite, so the step was discarded; lower train.lr", 1},
           {train({"--train.lr", "1e6", "--train.weight_decay", "1e38", "--train.steps", "1"}),
            ", so no checkpoint was saved", 1}}) {
    expect_refusal(call);
  }
}

}  // namespace
}  // namespace masformer::test
