// The child processes of a process that it has not waited for yet.
#pragma once

#include <sys/types.h>

namespace masformer {

struct ChildProcesses {
  bool any = false;    // including dead ones
  bool alive = false;  // at least one

  bool only_dead() const { return any && !alive; }
};

// The children of all threads of `process`, because OpenMPI starts 32 and more ranks from several.
// None if `process` has ended.
ChildProcesses children_of(pid_t process);

}  // namespace masformer
