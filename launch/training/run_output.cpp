#include "launch/training/run_output.h"

#include "launch/output/standard_streams.h"
#include "parallel/comm/collective_errors.h"

namespace masformer {

RunOutput::RunOutput(Communicator& world, const Options& options)
    : world_(world), options_(options) {
  on_first_rank(world_, [&] { directory_ = std::make_unique<RunDirectory>(options_.run.dir); });
}

void RunOutput::start_after(std::int64_t step) {
  on_first_rank(world_, [&] {
    metrics_ = std::make_unique<MetricsWriter>(directory_->metrics(), step);
    console_ = std::make_unique<Console>(options_.log.live, options_.log.every, step + 1,
                                         options_.train.steps);
    if (!metrics_->note().empty()) log(metrics_->note());
  });
}

void RunOutput::write(const StepMetrics& metrics) {
  on_first_rank(world_, [&] {
    metrics_->write(metrics);
    console_->step(metrics);
  });
}

void RunOutput::sync() {
  on_first_rank(world_, [&] { metrics_->sync(); });
}

void RunOutput::log(const std::string& text) {
  if (world_.rank() > 0) return;
  if (console_) {
    console_->log(text);
  } else {
    write_notice(text + "\n");
  }
}

}  // namespace masformer
