#include "tests/fake_cuda/warp.h"

#include "tests/fake_cuda/report.h"

namespace fake_cuda {
namespace {

unsigned bit(int lane) {
  return 1u << lane;
}

// Calls `visit` with each lane of the mask.
template <class Visit>
void each_lane(unsigned mask, Visit visit) {
  for (; mask != 0; mask &= mask - 1) visit(std::countr_zero(mask));
}

std::string described(int lane, const Warp::Call& call) {
  return fmt::format("{}: block {}: lane {} of a warp, with mask {:#x},", to_string(call.site),
                     to_string(blockIdx), lane, call.mask);
}

}  // namespace

bool Warp::arrive(int lane, const Call& call) {
  check(lane, call);
  calls_[lane] = call;
  waiting_ |= bit(lane);
  if ((waiting_ & call.mask) != call.mask) return false;
  complete(call);
  return true;
}

void Warp::check(int lane, const Call& call) const {
  const unsigned absent = call.mask & ~present_;
  if (!(call.mask & bit(lane))) report("{} is not in it", described(lane, call));
  if (absent)
    report("{} waits for lanes {:#x}, which have left or never were", described(lane, call),
           absent);
  if (call.meeting == Meeting::shuffle && !(call.mask & bit(call.source)))
    report("{} reads lane {}, which is not in it", described(lane, call), call.source);
}

void Warp::complete(const Call& last) {
  std::uint64_t votes = 0;
  each_lane(last.mask, [&](int lane) {
    const Call& call = calls_[lane];
    if (call.meeting != last.meeting || call.mask != last.mask || call.site != last.site)
      report("{} meets others at {} with mask {:#x}", described(lane, call), to_string(last.site),
             last.mask);
    votes |= std::uint64_t{call.value != 0} << lane;
  });
  each_lane(last.mask, [&](int lane) {
    results_[lane] = last.meeting == Meeting::shuffle ? calls_[calls_[lane].source].value : votes;
  });
  waiting_ &= ~last.mask;
}

void Warp::leave(int lane) {
  present_ &= ~bit(lane);
  each_lane(waiting_, [&](int other) {
    if (calls_[other].mask & bit(lane))
      report("{} waits for lane {}, which leaves", described(other, calls_[other]), lane);
  });
}

}  // namespace fake_cuda
