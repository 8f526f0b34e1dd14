# Run by `cmake -P` at each build: writes OUTPUT, the C++ source that defines the commit of the tree
# at SOURCE (launch/version.h). The file is touched only if the commit changed.
set(commit unknown)
# git -C SOURCE WORDS...: its output, or nothing.
function(ask_git variable)
  execute_process(COMMAND git -C ${SOURCE} --no-optional-locks ${ARGN}
    OUTPUT_VARIABLE output RESULT_VARIABLE status ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT status EQUAL 0)
    set(output "")
  endif()
  set(${variable} "${output}" PARENT_SCOPE)
endfunction()

# A source archive that was unpacked inside of another repository has no commit of its own.
ask_git(prefix rev-parse --show-prefix)
ask_git(hash rev-parse --short=12 HEAD)
if(hash AND NOT prefix)
  set(commit ${hash})
  ask_git(changes status --porcelain --untracked-files=no)
  if(changes)
    string(APPEND commit " (modified)")
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[
#include "launch/version.h"

namespace masformer {

std::string_view build_commit() {
  return "@commit@";
}

}  // namespace masformer
]] @ONLY)
