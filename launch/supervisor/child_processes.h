// Lists the children of a process that are running, or that have ended and were not reaped.
#pragma once

#include <sys/types.h>

namespace masformer {

struct ChildProcesses {
  bool any = false;    // at least one, running or not reaped
  bool alive = false;  // at least one is running

  bool only_dead() const { return any && !alive; }
};

// Looks at the children of all threads of `process`, because OpenMPI starts 32 or more ranks from
// several threads. Finds none if `process` has ended.
ChildProcesses children_of(pid_t process);

}  // namespace masformer
