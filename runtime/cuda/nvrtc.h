// NVRTC, by which cuDNN compiles kernels for the device that it finds.
#pragma once

namespace masformer::cuda {

// Loads what NVRTC opens by name when it compiles, and finds in the loader's own folders alone: it
// lies beside NVRTC, which may have been found elsewhere (runtime/plugin.h). Where it is missing,
// NVRTC will say so.
void load_nvrtc_builtins();

}  // namespace masformer::cuda
