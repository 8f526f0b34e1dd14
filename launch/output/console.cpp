#include "launch/output/console.h"

#include <cstdlib>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/output/numbers.h"
#include "launch/output/standard_streams.h"
#include "runtime/counted.h"

namespace masformer {

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
  pace_.add(std::chrono::duration<double>(Clock::now().time_since_epoch()).count());
  last_ = m;
  step_seconds_ += m.step_seconds;
  if (m.eval_loss) {
    held_out_ = m.eval_loss;
    evaluated_ = m.step;
  }
  const bool due = m.step % every_ == 0 || m.step == first_step_ || m.step == last_step_;
  if (!live_ && !due && !m.eval_loss) return;
  const double left =
      pace_.seconds_per_step().value_or(m.step_seconds) * static_cast<double>(last_step_ - m.step);
  const std::string text = progress_line(
      m,
      {.last_step = last_step_, .held_out = live_ ? held_out_ : m.eval_loss, .seconds_left = left});
  if (!live_) {
    write_notice(text + "\n");
  } else {
    write_notice("\r\033[K" + text + (m.eval_loss ? "\n" : ""));
    line_open_ = !m.eval_loss;
  }
}

std::string Console::summary() const {
  if (!last_) return "";
  const std::int64_t steps = last_->step - first_step_ + 1;
  const double tokens = static_cast<double>(last_->tokens) / static_cast<double>(last_->step) *
                        static_cast<double>(steps);
  const std::chrono::duration<double> passed = Clock::now() - begin_;
  std::string text =
      fmt::format("      {} in {}: {} tokens, {} tokens/s\n      loss {:.4f} at step {}",
                  counted(steps, "step"), duration(passed.count()), short_number(tokens),
                  short_number(tokens / step_seconds_), without_nan_sign(last_->loss), last_->step);
  if (held_out_) {
    text += fmt::format("; held-out {:.4f} at step {}", without_nan_sign(*held_out_), evaluated_);
  }
  return text;
}

void Console::log(const std::string& text) {
  write_notice((line_open_ ? "\n" : "") + text + "\n");
  line_open_ = false;
}

}  // namespace masformer
