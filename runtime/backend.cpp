#include "runtime/backend.h"

#include "runtime/error.h"
#include "runtime/plugin.h"

namespace masformer {

const Backend& backend(Device device) {
  switch (device) {
    case Device::cpu:
      return cpu_backend();
    case Device::cuda:
      return cuda_backend();
  }
  fail("unknown device {}", static_cast<int>(device));
}

const Backend& cuda_backend() {
  using Entry = const Backend*();
  static const Backend* const table =
      reinterpret_cast<Entry*>(plugin_symbol("libmasformer_cuda.so", "masformer_cuda_backend"))();
  return *table;
}

}  // namespace masformer
