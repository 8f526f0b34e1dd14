#include "runtime/cuda/stream.h"

#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "runtime/cuda/error.h"
#include "runtime/cuda/event.h"

namespace masformer::cuda {

CudaStream::CudaStream(int index) {
  check(cudaSetDevice(index), "cudaSetDevice");
  check(cudaGetDeviceProperties(&properties_, index), "cudaGetDeviceProperties");
  check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

CudaStream::~CudaStream() {
  cudaStreamSynchronize(handle_);
  libraries_.clear();
  cudaFree(scratch_);
  cudaStreamDestroy(handle_);
}

template <class Done>
void CudaStream::wait_until(const Done& done) const {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds between_checks(5);
  for (auto next_check = Clock::now() + between_checks; !done(); std::this_thread::yield()) {
    if (Clock::now() < next_check) continue;
    for (Watched* const each : watched()) each->check();
    next_check = Clock::now() + between_checks;
  }
}

void CudaStream::synchronize() {
  if (watched().empty()) return check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
  Event end;
  end.record(handle_);
  wait_until([&] { return end.done(); });
}

class CudaStream::RecordedEvent final : public BackendEvent {
 public:
  explicit RecordedEvent(const CudaStream& stream) : stream_(stream) {
    event_.record(stream.handle_);
  }

  void wait() override {
    stream_.wait_until([&] { return event_.done(); });
  }
  double seconds_since(const BackendEvent& earlier) const override {
    return event_.seconds_since(static_cast<const RecordedEvent&>(earlier).event_);
  }

 private:
  const CudaStream& stream_;
  Event event_{true};
};

std::unique_ptr<BackendEvent> CudaStream::record() {
  return std::make_unique<RecordedEvent>(*this);
}

std::shared_ptr<const std::atomic<std::int64_t>> CudaStream::read_clock() {
  using Reading = std::shared_ptr<std::atomic<std::int64_t>>;
  auto reading = std::make_shared<std::atomic<std::int64_t>>(0);
  // The stream has a share of its own: who asked may be gone when it comes here, after a failure.
  auto of_stream = std::make_unique<Reading>(reading);
  const auto read = [](void* data) {
    const std::unique_ptr<Reading> own(static_cast<Reading*>(data));
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    (*own)->store(std::chrono::nanoseconds(now).count(), std::memory_order_release);
  };
  check(cudaLaunchHostFunc(handle_, read, of_stream.get()), "cudaLaunchHostFunc");
  static_cast<void>(of_stream.release());
  return reading;
}

void CudaStream::download(const Tensor& from, void* pinned) {
  check(cudaMemcpyAsync(pinned, from.raw(), static_cast<std::size_t>(from.bytes()),
                        cudaMemcpyDeviceToHost, handle_),
        "cudaMemcpyAsync");
}

std::string CudaStream::name() const {
  const auto* const id = reinterpret_cast<const unsigned char*>(properties_.uuid.bytes);
  return fmt::format("{} GPU-{:02x}{:02x}{:02x}{:02x}", properties_.name, id[0], id[1], id[2],
                     id[3]);
}

std::string bus_id(const cudaDeviceProp& properties) {
  return fmt::format("{:04x}:{:02x}:{:02x}", properties.pciDomainID, properties.pciBusID,
                     properties.pciDeviceID);
}

std::string CudaStream::bus_id() const {
  return cuda::bus_id(properties_);
}

std::int64_t CudaStream::available_memory() const {
  std::size_t left = 0, all = 0;
  check(cudaMemGetInfo(&left, &all), "cudaMemGetInfo");
  return static_cast<std::int64_t>(left);
}

// The rates per multiprocessor follow from the data sheets of A100 SXM (108 multiprocessors) and
// H100 SXM (132).
double CudaStream::peak_flops(DType dtype) const {
  constexpr double tera = 1e12;
  const bool hopper = properties_.major >= 9;
  const double multiprocessor = dtype == DType::bf16
                                    ? (hopper ? 989.4 * tera / 132 : 312 * tera / 108)
                                    : (hopper ? 66.9 * tera / 132 : 19.5 * tera / 108);
  return multiprocessor * properties_.multiProcessorCount;
}

void* CudaStream::scratch(std::int64_t bytes) {
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
