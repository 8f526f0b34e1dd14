#include "launch/version.h"

#include <array>

#include <dnnl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hdf5.h>
#include <mpi.h>

#include "parallel/comm/nccl/communicator.h"
#include "runtime/error.h"
#include "runtime/plugin.h"

namespace masformer {
namespace {

constexpr const char* cuda_library = "libmasformer_cuda.so";
constexpr const char* nccl_library = "libmasformer_nccl.so";

// The instruction set extensions that the program's own CPU code was compiled for.
std::string extensions() {
  std::vector<std::string_view> names;
#ifdef __AVX2__
  names.emplace_back("AVX2");
#endif
#ifdef __FMA__
  names.emplace_back("FMA");
#endif
#ifdef __AVX512F__
  names.emplace_back("AVX-512");
#endif
#ifdef __AVX512BF16__
  names.emplace_back("AVX-512 BF16");
#endif
#ifdef __AMX_BF16__
  names.emplace_back("AMX BF16");
#endif
  return names.empty() ? "no vector extensions" : fmt::format("{}", fmt::join(names, ", "));
}

std::string compiler() {
#ifdef __clang__
  constexpr const char* name = "";  // Clang's __VERSION__ already begins with its name
#else
  constexpr const char* name = "GCC ";
#endif
  return fmt::format("{}{}, -march={} ({})", name, __VERSION__, MASFORMER_MARCH, extensions());
}

// "Open MPI v4.1.4": the text of MPI goes on with details of the package, which are cut off. Works
// before MPI_Init.
std::string mpi() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string_view whole(text.data(), static_cast<std::size_t>(length));
  return std::string(whole.substr(0, whole.find_first_of(",\n")));
}

// `loaded`; if the program was compiled with another version, also that one.
std::string loaded_version(const std::string& loaded, const std::string& built) {
  return loaded == built ? loaded : fmt::format("{} (built against {})", loaded, built);
}

std::string hdf5() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return loaded_version(fmt::format("{}.{}.{}", major, minor, release),
                        fmt::format("{}.{}.{}", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE));
}

std::string_view name_of(dnnl_cpu_isa_t isa) {
  switch (isa) {
    case dnnl_cpu_isa_sse41:
      return "SSE4.1";
    case dnnl_cpu_isa_avx:
      return "AVX";
    case dnnl_cpu_isa_avx2:
      return "AVX2";
    case dnnl_cpu_isa_avx2_vnni:
      return "AVX2 VNNI";
    case dnnl_cpu_isa_avx512_core:
      return "AVX-512";
    case dnnl_cpu_isa_avx512_core_vnni:
      return "AVX-512 VNNI";
    case dnnl_cpu_isa_avx512_core_bf16:
      return "AVX-512 BF16";
    case dnnl_cpu_isa_avx512_core_amx:
      return "AMX";
    default:
      return "another instruction set";
  }
}

std::string onednn() {
  const dnnl_version_t* const v = dnnl_version();
  const std::string version = loaded_version(
      fmt::format("{}.{}.{}", v->major, v->minor, v->patch),
      fmt::format("{}.{}.{}", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH));
  return fmt::format("{}, using {} on this CPU", version, name_of(dnnl_get_effective_cpu_isa()));
}

// The state of a plugin; `loaded` opens it and names the versions in use.
template <class Loaded>
std::string plugin(const std::string& library, const char* built, const Loaded& loaded) {
  if (!has_plugin(library)) return "no plugin beside the program";
  try {
    return fmt::format("plugin built against {}; loaded: {}", built, loaded());
  } catch (const UsageError& missing) {
    return fmt::format("plugin present, built against {}; libraries not found: {}", built,
                       missing.what());
  } catch (const Error& error) {
    return fmt::format("plugin present, built against {}; not usable: {}", built, error.what());
  }
}

std::string cuda() {
  using Entry = void(std::string&);
  std::string versions;
  reinterpret_cast<Entry*>(plugin_symbol(cuda_library, "masformer_cuda_versions"))(versions);
  return versions;
}

// Converts 22803 to "2.28.3".
std::string nccl() {
  const int version = nccl_version();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace

// The program links another (cmake/WriteCommit.cmake), which replaces this one.
[[gnu::weak]] std::string_view build_commit() {
  return "unknown";
}

std::string_view program_version() {
  return MASFORMER_VERSION;
}

std::string version_text(std::string_view commit) {
  return fmt::format(
      "masformer {}, commit {}\n"
      "compiler  {}\nMPI       {}\nHDF5      {}\noneDNN    {}\nCUDA      {}\nNCCL      {}\n",
      MASFORMER_VERSION, commit, compiler(), mpi(), hdf5(), onednn(),
      plugin(cuda_library, MASFORMER_BUILT_AGAINST_CUDA, cuda),
      plugin(nccl_library, MASFORMER_BUILT_AGAINST_NCCL, nccl));
}

}  // namespace masformer
