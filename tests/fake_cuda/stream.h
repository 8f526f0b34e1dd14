// The double's streams, and the interface for other doubles whose work is issued to them.
//
// A stream is a queue of pieces of work. Nothing runs when it is issued. Where the host waits
// (for a stream, an event, the device, a blocking copy), the first pieces of all streams are tried
// in drawn orders, so that only what the program orders by events happens in a given order; a
// query tries each of them once. All of it happens on the one host thread that uses the double.
#pragma once

#include <cstdint>
#include <cuda_runtime_api.h>
#include <functional>

namespace fake_cuda {

// Issues a piece of work. `try_run` is called when all before it on the stream is done, and again
// until it returns true: it is done. It must not wait and not call CUDA. Device memory may be
// touched while it is called and not in between: what lasts over several calls, such as a message
// to another process, must not lie in device memory.
void enqueue(cudaStream_t stream, std::function<bool()> try_run);

// Whether such a stream exists. The null stream always does, and waits for no other.
bool is_stream(cudaStream_t stream);

// How many pieces of work were issued to it so far; 0 of a stream that is none.
std::uint64_t issued(cudaStream_t stream);
std::uint64_t issued_in_all();  // to all streams

// Runs work until `done`, which must come true by work that was issued or by another process.
void run_until(const std::function<bool()>& done);

// Tries the first piece of each stream.
void try_each_once();

void run_stream(cudaStream_t stream);  // until all issued to it is done
void run_device();                     // until all issued is done

}  // namespace fake_cuda
