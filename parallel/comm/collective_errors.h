// Runs work that each rank does alone so that it succeeds on all ranks or fails on all.
#pragma once

#include <exception>
#include <new>
#include <optional>
#include <string>
#include <type_traits>

#include "parallel/comm/communicator.h"
#include "runtime/error.h"

namespace masformer {

// Runs `work` on every rank of `world` and returns this rank's result. If it throws on any rank,
// all ranks throw: AgreedUsageError if a rank threw UsageError, else AgreedError. `work` must not
// communicate. The exception is std::bad_alloc: a rank without memory may be unable to send a
// message, so only that rank throws, and the others wait. Its caller must abort the job.
template <class Work>
auto run_collectively(Communicator& world, Work work) {
  using Result = std::invoke_result_t<Work>;
  constexpr bool nothing = std::is_void_v<Result>;
  std::optional<std::conditional_t<nothing, bool, Result>> result;
  std::string refusal;
  std::string failure;
  try {
    if constexpr (nothing) {
      work();
      result = true;
    } else {
      result.emplace(work());
    }
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const UsageError& error) {
    refusal = error.what();
  } catch (const std::exception& error) {
    failure = error.what();
    if (failure.empty()) failure = "an error without a message";
  }
  throw_collectively(world, refusal);
  throw_collectively(world, failure, true);
  if constexpr (!nothing) return std::move(*result);
}

// Runs `work` on rank 0 only. If it throws, all ranks throw.
template <class Work>
void on_first_rank(Communicator& world, Work work) {
  run_collectively(world, [&] {
    if (world.rank() == 0) work();
  });
}

}  // namespace masformer
