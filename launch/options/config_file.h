// Configuration files: options by section, as in
//
//   [train]
//   steps = 200  # a comment
//
// which sets train.steps. A comment begins at the line's start or after white space. A byte order
// mark and Windows' line ends are accepted.
#pragma once

#include <string>
#include <vector>

namespace masformer {

struct ConfigEntry {
  std::string name;  // "train.steps"
  std::string value;
  int line = 0;  // from 1
};

// Returns the entries in the order of the file, whether or not such options exist. Throws
// UsageError if the file can't be read, or with the number of each line that is neither a section
// nor KEY = VALUE.
std::vector<ConfigEntry> read_config_file(const std::string& file);

}  // namespace masformer
