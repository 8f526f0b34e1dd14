#include "launch/output/console.h"

#include <cmath>
#include <cstdlib>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/output/numbers.h"
#include "launch/output/standard_streams.h"

namespace masformer {

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

namespace {

// mpirun gives its ranks terminals of their own, even if its output goes to a file. So only
// `masformer run` knows whether a person is watching.
bool watched() {
  if (const char* const told = std::getenv("MASFORMER_WATCHED")) return told == std::string("yes");
  return isatty(STDOUT_FILENO) == 1 && std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr;
}

}  // namespace

Console::Console(LiveLine live, std::int64_t every, std::int64_t first_step, std::int64_t last_step)
    : live_(live == LiveLine::on || (live == LiveLine::automatic && watched())),
      every_(every),
      first_step_(first_step),
      last_step_(last_step) {}

Console::~Console() {
  if (line_open_) write_notice("\n");
}

void Console::step(const StepMetrics& m) {
  // The first step of a process is slower than the others, so only its own line includes its time.
  if (m.step == first_step_) begin_ = std::chrono::steady_clock::now();
  const bool due = m.step % every_ == 0 || m.step == first_step_ || m.step == last_step_;
  if (!live_ && !due && !m.eval_loss) return;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin_;
  const double per_step = m.step == first_step_
                              ? m.step_seconds
                              : passed.count() / static_cast<double>(m.step - first_step_);
  const std::string text = fmt::format(
      "step {}/{}  loss {:.4f}{}  {:.0f} tokens/s  {} left", m.step, last_step_,
      without_nan_sign(m.loss),
      m.eval_loss ? fmt::format("  held-out {:.4f}", without_nan_sign(*m.eval_loss)) : "",
      m.tokens_per_second, duration(per_step * static_cast<double>(last_step_ - m.step)));
  if (!live_) {
    write_notice(text + "\n");
  } else {
    write_notice("\r\033[K" + text + (m.eval_loss ? "\n" : ""));
    line_open_ = !m.eval_loss;
  }
}

void Console::log(const std::string& text) {
  write_notice((line_open_ ? "\n" : "") + text + "\n");
  line_open_ = false;
}

}  // namespace masformer
