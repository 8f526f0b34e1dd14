// Collects what is wrong with a model. A message that several blocks cause is kept once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

class Violations {
 public:
  void add(std::string violation);
  void check_positive(std::string_view name, std::int64_t value);
  // Requires `divisor` to divide `extent`; the message names both. Ignores values below 1, which
  // check_positive() reports.
  void check_divides(std::string_view divisor_name, std::int64_t divisor, std::string_view name,
                     std::int64_t extent);

  const std::vector<std::string>& all() const { return all_; }

 private:
  std::vector<std::string> all_;
};

}  // namespace masformer
