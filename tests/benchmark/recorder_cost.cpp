// Measures what a record costs: the time between two begins, with its end, and as part of it the
// two readings of the clock.
#include <chrono>

#include <fmt/format.h>

#include "parallel/recorder.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"
#include "tests/support/temporary_directory.h"

int main(int argc, char** argv) {
  using namespace masformer;
  const test::Usage usage{"usage: masformer_recorder_cost [RECORDS (1000000)]\n", 1};
  return test::run_benchmark(argc, argv, usage, [&](const test::Arguments& arguments) {
    const auto records = arguments.number<std::int64_t>(0, 1'000'000);
    const test::TemporaryDirectory directory;
    Recorder recorder(directory / "ring", {});
    const RecordName group = recorder.name("pipeline");
    const auto count = static_cast<double>(records);
    const double recording = test::fastest(5, 1, [&] {
      for (std::int64_t i = 0; i < records; ++i) {
        recorder.end(
            recorder.begin({.bytes = i, .peer = 1, .name = recorder.name("send"), .group = group}));
      }
    });
    const double clock = test::fastest(5, 1, [&] {
      for (std::int64_t i = 0; i < 2 * records; ++i) {
        asm volatile("" ::"r"(std::chrono::steady_clock::now().time_since_epoch().count()));
      }
    });
    fmt::print("{:.0f} ns per record, {:.0f} of them for the clock\n", 1e9 * recording / count,
               1e9 * clock / count);
  });
}
