// NVRTC, which cuDNN uses to compile kernels for the present device.
#pragma once

namespace masformer::cuda {

// Loads libnvrtc-builtins.so. NVRTC opens it by name when it compiles and searches only the
// loader's folders; but it is beside NVRTC, which may have been found elsewhere (runtime/plugin.h).
// If it is missing, NVRTC reports that later.
void load_nvrtc_builtins();

}  // namespace masformer::cuda
