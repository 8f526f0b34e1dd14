// Collects what is wrong with a model, each complaint once however many blocks it concerns.
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
  // `divisor` must divide `extent`; both are named in the complaint. Values below 1 are not looked
  // at: check_positive() is for them.
  void check_divides(std::string_view divisor_name, std::int64_t divisor, std::string_view name,
                     std::int64_t extent);

  const std::vector<std::string>& all() const { return all_; }

 private:
  std::vector<std::string> all_;
};

}  // namespace masformer
