#include "launch/mpi_main.h"

#include <cstdio>
#include <new>

#include "launch/commands.h"
#include "launch/output/standard_streams.h"
#include "launch/plan/host_memory.h"
#include "launch/training/device_choice.h"
#include "launch/training/same_values.h"
#include "parallel/comm/collective_errors.h"

namespace masformer {
namespace {

void report(const Communicator& world, const std::exception& error) {
  if (world.rank() == 0) print_message("masformer: {}\n", error.what());
}

std::string cause_of(const std::exception& error) {
  const bool is_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  return is_memory ? out_of_memory(host_name()) : error.what();
}

[[noreturn]] void abort_job(const Communicator& world, const std::exception& error, ExitCode code) {
  try {
    print_message("masformer: rank {}: {}\n", world.rank(), cause_of(error));
  } catch (...) {  // without memory there may be no message, but other ranks wait for the abort
    std::fputs("masformer: out of memory\n", stderr);
  }
  MpiSession::abort(static_cast<int>(code));
}

// Each rank reads its own environment and its own copy of the file, which may differ between hosts.
void check_same_options(Communicator& world, const OptionTable& options) {
  const auto record = options.record();
  require_same_values(world, {record.begin(), record.end()}, "give all ranks the same value");
}

ExitCode start(const MpiSession& session, Communicator& world,
               const std::vector<std::string>& arguments, const RankCommand& command) {
  if (asks_for_help(arguments)) {
    on_first_rank(world,
                  [&] { print_result("{}\n{}", usage_of(command.name), command.options.help()); });
    return ExitCode::done;
  }
  run_collectively(world, [&] { command.options.parse(arguments); });
  check_same_options(world, command.options);
  return command.run(session);
}

}  // namespace

ExitCode run_on_ranks(const std::vector<std::string>& arguments, const RankCommand& command) {
  const MpiSession session(nullptr, nullptr);
  const auto world = session.world();
  try {
    return start(session, *world, arguments, command);
  } catch (const AgreedUsageError& error) {
    report(*world, error);
    return ExitCode::unusable;
  } catch (const AgreedError& error) {
    report(*world, error);
    return ExitCode::failure;
  } catch (const UsageError& error) {
    abort_job(*world, error, ExitCode::unusable);
  } catch (const std::exception& error) {
    abort_job(*world, error, ExitCode::failure);
  }
}

}  // namespace masformer
