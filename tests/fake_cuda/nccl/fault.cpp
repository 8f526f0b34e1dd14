#include "tests/fake_cuda/nccl/fault.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <sstream>
#include <string>

#include "tests/fake_cuda/nccl/wire.h"
#include "tests/fake_cuda/report.h"

namespace fake_cuda::nccl {
namespace {

struct Wanted {
  Fault fault = Fault::none;
  std::string kind;
  int place = 0;
};

Wanted wanted(const std::string& text) {
  constexpr std::array<std::string_view, 4> faults{"none", "hang", "fail", "stall"};
  std::istringstream words(text);
  std::string fault;
  Wanted wanted;
  int rank = 0;
  words >> fault >> wanted.kind >> rank >> wanted.place;
  const auto known = std::ranges::find(faults, fault);
  if (!words || known == faults.end() || (wanted.kind != "connect" && wanted.kind != "launch"))
    report("MASFORMER_FAKE_NCCL_FAULT={} is not a fault", text);
  if (rank == world_rank()) wanted.fault = static_cast<Fault>(known - faults.begin());
  return wanted;
}

}  // namespace

Fault next_fault(std::string_view kind) {
  static std::string text;
  static Wanted chosen;
  static int seen = 0;
  const char* now = std::getenv("MASFORMER_FAKE_NCCL_FAULT");
  if (text != (now ? now : "")) {
    text = now ? now : "";
    chosen = now ? wanted(text) : Wanted{};
    seen = 0;
  }
  return kind == chosen.kind && seen++ == chosen.place ? chosen.fault : Fault::none;
}

}  // namespace fake_cuda::nccl
