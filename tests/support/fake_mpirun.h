// A script in place of mpirun, for tests of how `masformer run` calls it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {

struct FakeMpirun {
  explicit FakeMpirun(const std::string& script) {
    std::ofstream(folder / "mpirun") << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(folder / "mpirun", std::filesystem::perms::owner_all);
  }

  TemporaryDirectory folder;
  std::vector<std::string> words{program(), "run", "-n", "2", "--", "train"};
  std::map<std::string, std::string> environment{
      {"PATH", folder.path().string() + ":" + std::getenv("PATH")}};
};

}  // namespace masformer::test
