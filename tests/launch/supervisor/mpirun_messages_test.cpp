// What is shown of mpirun's standard error, however it is cut into pieces.
#include "launch/supervisor/mpirun_messages.h"

#include <csignal>

#include <gtest/gtest.h>

namespace masformer {
namespace {

const std::string rule = std::string(74, '-') + "\n";

std::string framed(const std::string& text) {
  return rule + text + rule;
}

const std::string aborted = framed(
    "Primary job  terminated normally, but 1 process returned\n"
    "a non-zero exit code. Per user-direction, the job has been aborted.\n");
const std::string first_to_exit = framed(
    "mpirun detected that one or more processes exited with non-zero status, thus causing\n"
    "the job to be terminated. The first process to do so was:\n\n"
    "  Process name: [[7029,1],1]\n  Exit code:    1\n");
const std::string abort_called =
    framed("MPI_ABORT was invoked on rank 1 in communicator MPI_COMM_WORLD\nwith errorcode 1.\n");
const std::string no_hostfile =
    framed("Open RTE was unable to open the hostfile:\n    /nowhere\nCheck the path.\n");

std::string by_signal(const std::string& signal) {
  return framed("mpirun noticed that process rank 1 with PID 0 on node n exited on signal " +
                signal + ".\n");
}

struct Case {
  std::string printed, shown;
  bool stopping = false;
};

class MpirunMessage : public testing::TestWithParam<Case> {};

TEST_P(MpirunMessage, IsShownWholeOrNotAtAll) {
  const auto& [printed, shown, stopping] = GetParam();
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, printed.size() + 1}) {
    MpirunMessages messages;
    if (stopping) messages.expect_stop();
    std::string seen;
    for (std::size_t at = 0; at < printed.size(); at += size) {
      seen += messages.pass(printed.substr(at, size));
    }
    EXPECT_EQ(seen + messages.rest(), shown) << "in pieces of " << size;
    EXPECT_EQ(messages.rest(), "");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, MpirunMessage,
    testing::Values(
        Case{"masformer: rank 1: no\n", "masformer: rank 1: no\n"},
        Case{"no end of line", "no end of line"}, Case{aborted + first_to_exit, ""},
        Case{"why\n" + abort_called + "and\n", "why\nand\n"},
        Case{aborted + no_hostfile + "2 total processes failed to start\n",
             no_hostfile + "2 total processes failed to start\n"},
        Case{aborted + by_signal("9 (Killed)"), by_signal("9 (Killed)")},
        Case{by_signal("10 (User defined signal 1)"), by_signal("10 (User defined signal 1)")},
        Case{"mpirun: Forwarding signal 10 to job\n" + by_signal("10 (User defined signal 1)"), "",
             true},
        Case{by_signal("11 (Segmentation fault)"), by_signal("11 (Segmentation fault)"), true},
        Case{rule + "cut off\nMPI", rule + "cut off\nMPI"},
        // A rank that quotes mpirun is shown.
        Case{"a rank says: MPI_ABORT was invoked on rank 3\n",
             "a rank says: MPI_ABORT was invoked on rank 3\n"}));

TEST(MpirunMessages, RememberWhichSignalEndedARank) {
  MpirunMessages messages;
  messages.pass(by_signal("9 (Killed)"));
  EXPECT_TRUE(messages.told_of_signal(SIGKILL));
  EXPECT_FALSE(messages.told_of_signal(SIGSEGV));
  MpirunMessages others;
  others.pass(no_hostfile + by_signal("19 (Stopped)"));
  EXPECT_FALSE(others.told_of_signal(SIGKILL));
}

TEST(MpirunMessages, RememberARefusedOption) {
  MpirunMessages messages;
  messages.pass("a rank: unknown option \"--bogus\"\n");
  EXPECT_FALSE(messages.told_of_unknown_option());
  messages.pass("mpirun: Error: unknown option \"--bogus\"\n");
  EXPECT_TRUE(messages.told_of_unknown_option());
}

}  // namespace
}  // namespace masformer
