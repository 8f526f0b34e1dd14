#include "tests/fake_cuda/shared_memory.h"

#include <cstdint>
#include <link.h>

// Part of the platform's ABI for thread-local storage (ELF Handling For Thread-Local Storage, U.
// Drepper): __tls_get_addr() returns the address of the variable at `offset` in the block of
// `module`, and allocates the block if needed.
struct TlsIndex {
  std::size_t module, offset;
};
extern "C" void* __tls_get_addr(TlsIndex* index);

namespace fake_cuda {
namespace {

struct Search {
  std::uintptr_t kernel;
  std::span<std::byte> found;
};

bool holds(const dl_phdr_info& library, std::uintptr_t address) {
  for (int i = 0; i < library.dlpi_phnum; ++i) {
    const auto& segment = library.dlpi_phdr[i];
    if (segment.p_type == PT_LOAD &&
        address - (library.dlpi_addr + segment.p_vaddr) < segment.p_memsz)
      return true;
  }
  return false;
}

int look_into(dl_phdr_info* library, std::size_t, void* search) {
  auto& [kernel, found] = *static_cast<Search*>(search);
  if (!holds(*library, kernel)) return 0;
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const auto& segment = library->dlpi_phdr[i];
    if (segment.p_type != PT_TLS) continue;
    TlsIndex start{library->dlpi_tls_modid, 0};
    // Variables with initial values come first; they are not shared variables.
    found = std::span(static_cast<std::byte*>(__tls_get_addr(&start)), segment.p_memsz)
                .subspan(segment.p_filesz);
  }
  return 1;
}

}  // namespace

std::span<std::byte> shared_memory(const void* kernel) {
  Search search{reinterpret_cast<std::uintptr_t>(kernel), {}};
  dl_iterate_phdr(look_into, &search);
  return search.found;
}

}  // namespace fake_cuda
