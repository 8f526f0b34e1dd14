#include "runtime/backend.h"

#include "runtime/error.h"
#include "runtime/plugin.h"

namespace masformer {
namespace {

// "cuda": masformer_cuda_backend() of libmasformer_cuda.so.
const Backend* plugin_backend(std::string_view name) {
  using Entry = const Backend*();
  return reinterpret_cast<Entry*>(plugin_symbol(fmt::format("libmasformer_{}.so", name),
                                                fmt::format("masformer_{}_backend", name)))();
}

template <Device device>
const Backend& backend_of() {
  if constexpr (device == Device::cpu) {
    return cpu_backend();
  } else {
    static const Backend* const table = plugin_backend(name_of(device));
    return *table;
  }
}

}  // namespace

const Backend& backend(Device device) {
#define MASFORMER_BACKEND_OF(value, ...) \
  case Device::value:                    \
    return backend_of<Device::value>();
  switch (device) { MASFORMER_DEVICES(MASFORMER_BACKEND_OF) }
#undef MASFORMER_BACKEND_OF
  fail("unknown device {}", static_cast<int>(device));
}

}  // namespace masformer
