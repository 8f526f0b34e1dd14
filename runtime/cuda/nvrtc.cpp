#include "runtime/cuda/nvrtc.h"

#include <dlfcn.h>
#include <filesystem>
#include <nvrtc.h>
#include <string>
#include <system_error>

namespace masformer::cuda {

void load_nvrtc_builtins() {
  namespace fs = std::filesystem;
  Dl_info nvrtc{};
  if (dladdr(reinterpret_cast<void*>(&nvrtcVersion), &nvrtc) == 0) return;
  std::error_code error;
  const fs::path folder = fs::path(nvrtc.dli_fname).parent_path();
  for (fs::directory_iterator file(folder, error), end; !error && file != end;
       file.increment(error)) {
    const std::string name = file->path().filename().string();
    if (name.starts_with("libnvrtc-builtins.so.")) dlopen(file->path().c_str(), RTLD_NOW);
  }
}

}  // namespace masformer::cuda
