// The processes that another one has started and not yet taken note of in their end.
#pragma once

#include <sys/types.h>

namespace masformer {

struct ChildProcesses {
  bool any = false;    // dead ones included
  bool alive = false;  // at least one of them

  bool only_dead() const { return any && !alive; }
};

// Of all threads of `process`: OpenMPI starts 32 ranks and more from several. None where it has
// ended itself.
ChildProcesses children_of(pid_t process);

}  // namespace masformer
