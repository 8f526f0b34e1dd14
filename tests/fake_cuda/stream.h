// The fake's streams, and the interface for other fakes that issue work to them.
//
// A stream is a queue of pieces of work. Nothing runs when it is issued. When the host waits (for a
// stream, an event, the device, a blocking copy), the first pieces of all streams are tried in
// random orders, so that only the order that the program asks for by events is certain; a query
// tries each of them once. Everything happens on the one host thread that uses the fake.
#pragma once

#include <cstdint>
#include <cuda_runtime_api.h>
#include <functional>

namespace fake_cuda {

// Issues a piece of work. `try_run` is called when all work before it on the stream is done,
// repeatedly until it returns true, which means that it is done. It must neither wait nor call
// CUDA. Device memory is accessible only during the call: data that lasts over several calls, such
// as a message to another process, must be elsewhere.
void enqueue(cudaStream_t stream, std::function<bool()> try_run);

// Whether such a stream exists. The null stream always exists, and does not wait for other streams.
bool is_stream(cudaStream_t stream);

// The number of pieces of work issued to the stream so far; 0 if there is no such stream.
std::uint64_t issued(cudaStream_t stream);
std::uint64_t issued_in_all();  // to all streams

// Runs work until `done` returns true, which issued work or another process must bring about.
void run_until(const std::function<bool()>& done);

// Tries the first piece of each stream.
void try_each_once();

void run_stream(cudaStream_t stream);  // until all work issued to it is done
void run_device();                     // until all issued work is done

}  // namespace fake_cuda
