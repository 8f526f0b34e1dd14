#include "launch/mpi_main.h"

#include <fmt/format.h>

namespace masformer {
namespace {

void report(const Communicator& world, const std::exception& error) {
  if (world.rank() == 0) fmt::print(stderr, "masformer: {}\n", error.what());
}

}  // namespace

ExitCode run_on_ranks(const std::function<ExitCode(const MpiSession&)>& body) {
  const MpiSession session(nullptr, nullptr);
  const auto world = session.world();
  try {
    return body(session);
  } catch (const UsageError& error) {
    report(*world, error);
    return ExitCode::unusable;
  } catch (const AgreedError& error) {
    report(*world, error);
    return ExitCode::failure;
  } catch (const std::exception& error) {
    fmt::print(stderr, "masformer: rank {}: {}\n", world->rank(), error.what());
    MpiSession::abort(static_cast<int>(ExitCode::failure));
  }
}

}  // namespace masformer
