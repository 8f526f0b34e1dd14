// A temporary folder for all ranks of a test; rank 0 owns it.
#pragma once

#include <filesystem>
#include <optional>

#include "parallel/comm/communicator.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {

// Construction and destruction are collective over `group`.
class SharedDirectory {
 public:
  explicit SharedDirectory(Communicator& group) : group_(group) {
    if (group.rank() == 0) owned_.emplace();
    path_ = group.all_gather(owned_ ? owned_->path().string() : "").front();
  }
  ~SharedDirectory() { group_.barrier(); }
  SharedDirectory(const SharedDirectory&) = delete;
  SharedDirectory& operator=(const SharedDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  Communicator& group_;
  std::optional<TemporaryDirectory> owned_;
  std::filesystem::path path_;
};

}  // namespace masformer::test
