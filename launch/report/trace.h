// The recordings of a run as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing show.
//
// The format is the JSON object of the Trace Event Format (Google's document of that name, linked
// from catapult's docs/trace-event-format.md): complete events ("X") with `ts` and `dur` in
// microseconds; begin events ("B") for what had not ended; metadata events ("M") that name
// processes and threads. A process is a rank. Events of a thread must nest, but communications
// overlap: they are spread over as many threads as they need. Actions that a host issued to its
// device, and of which the device's times are unknown, have a thread of their own, because they
// overlap those that the device was running.
#pragma once

#include <filesystem>
#include <ostream>
#include <vector>

#include "parallel/recorder.h"

namespace masformer {

// Time 0 is the first record of any rank. Times have all digits of the recordings' nanoseconds.
void write_trace(const std::vector<Recording>& recordings, std::ostream& out);

// The same as a file. Throws Error if it can't be written.
void write_trace(const std::vector<Recording>& recordings, const std::filesystem::path& path);

}  // namespace masformer
