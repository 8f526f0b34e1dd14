#include "runtime/cuda/queue.h"

#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "runtime/cuda/error.h"

namespace masformer::cuda {

Queue::Queue(int index) : index_(index) {
  check(cudaSetDevice(index), "cudaSetDevice");
  check(cudaGetDeviceProperties(&properties_, index), "cudaGetDeviceProperties");
  check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

Queue::~Queue() {
  cudaStreamSynchronize(handle_);
  libraries_.clear();
  cudaFree(scratch_);
  cudaStreamDestroy(handle_);
}

template <class Query>
void Queue::wait_until(const Query& query, const char* what) const {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds between_checks(5);
  for (auto next_check = Clock::now() + between_checks;; std::this_thread::yield()) {
    const cudaError_t status = query();
    if (status != cudaErrorNotReady) return check(status, what);
    cudaGetLastError();  // is not kept for the next call
    if (Clock::now() < next_check) continue;
    for (Watched* const each : watched()) each->check();
    next_check = Clock::now() + between_checks;
  }
}

void Queue::synchronize() {
  if (watched().empty()) return check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
  wait_until([&] { return cudaStreamQuery(handle_); }, "cudaStreamQuery");
}

class Queue::Mark final : public DeviceMark {
 public:
  explicit Mark(const Queue& queue) : queue_(queue) {
    check(cudaEventCreate(&event_), "cudaEventCreate");
    check(cudaEventRecord(event_, queue.handle_), "cudaEventRecord");
  }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  ~Mark() override { cudaEventDestroy(event_); }

  void wait() override {
    if (queue_.watched().empty())
      return check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    queue_.wait_until([&] { return cudaEventQuery(event_); }, "cudaEventQuery");
  }
  double seconds_since(const DeviceMark& earlier) const override {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, static_cast<const Mark&>(earlier).event_, event_),
          "cudaEventElapsedTime");
    return 1e-3 * double(milliseconds);
  }

 private:
  const Queue& queue_;
  cudaEvent_t event_ = nullptr;
};

std::unique_ptr<DeviceMark> Queue::mark() {
  return std::make_unique<Mark>(*this);
}

void Queue::download(const Tensor& from, void* pinned) {
  check(cudaMemcpyAsync(pinned, from.raw(), static_cast<std::size_t>(from.bytes()),
                        cudaMemcpyDeviceToHost, handle_),
        "cudaMemcpyAsync");
}

std::string Queue::name() const {
  return fmt::format("{} {}", properties_.name, index_);
}

std::int64_t Queue::available_memory() const {
  std::size_t left = 0, all = 0;
  check(cudaMemGetInfo(&left, &all), "cudaMemGetInfo");
  return static_cast<std::int64_t>(left);
}

// By the data sheets of A100 SXM (108 multiprocessors) and H100 SXM (132).
double Queue::peak_flops(DType dtype) const {
  constexpr double tera = 1e12;
  const bool hopper = properties_.major >= 9;
  const double multiprocessor = dtype == DType::bf16
                                    ? (hopper ? 989.4 * tera / 132 : 312 * tera / 108)
                                    : (hopper ? 66.9 * tera / 132 : 19.5 * tera / 108);
  return multiprocessor * properties_.multiProcessorCount;
}

void* Queue::scratch(std::int64_t bytes) {
  if (bytes > scratch_bytes_) {
    synchronize();
    check(cudaFree(scratch_), "cudaFree");
    scratch_ = nullptr;
    scratch_bytes_ = 0;
    check(cudaMalloc(&scratch_, static_cast<std::size_t>(bytes)), "cudaMalloc of scratch memory");
    scratch_bytes_ = bytes;
  }
  return scratch_;
}

}  // namespace masformer::cuda
