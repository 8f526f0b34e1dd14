#include "runtime/ops/backend_cpu.h"

#include <cstdlib>
#include <cstring>

#include "runtime/arena.h"
#include "runtime/backend.h"
#include "runtime/error.h"

namespace masformer {
namespace {

void* allocate(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes);
  void* const memory = std::aligned_alloc(static_cast<std::size_t>(Arena::alignment), size);
  require(memory != nullptr, "cannot allocate {:.2f} GiB of memory", double(bytes) / (1 << 30));
  return std::memset(memory, 0, size);
}

void release(void* memory) noexcept {
  std::free(memory);
}

std::unique_ptr<DeviceStream> make_device_stream(int) {
  return nullptr;
}

std::vector<std::string> visible_devices() {
  return {};
}

}  // namespace

const Backend& cpu_backend() {
  static constexpr Backend table{.allocate = allocate,
                                 .release = release,
                                 .allocate_pinned = allocate,
                                 .release_pinned = release,
                                 .visible_devices = visible_devices,
                                 .make_device_stream = make_device_stream,
                                 .supports_matmul = cpu::supports_matmul,
#define MASFORMER_OP_OF_CPU(op, ...) .op = cpu::op,
                                 MASFORMER_OPS(MASFORMER_OP_OF_CPU)
#undef MASFORMER_OP_OF_CPU
  };
  return table;
}

}  // namespace masformer
