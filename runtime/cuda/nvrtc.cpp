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
  std::error_code unreadable;
  for (const auto& file :
       fs::directory_iterator(fs::path(nvrtc.dli_fname).parent_path(), unreadable)) {
    if (!file.path().filename().string().starts_with("libnvrtc-builtins.so.")) continue;
    dlopen(file.path().c_str(), RTLD_NOW | RTLD_LOCAL);
  }
}

}  // namespace masformer::cuda
