#include "launch/plan/ruled_out.h"

#include <algorithm>
#include <functional>

namespace masformer {
namespace {

// A message without its advice.
std::string problem_of(const std::string& message) {
  return message.substr(0, message.find(": "));
}

std::string without_digits(std::string text) {
  std::erase_if(text, [](char each) { return each >= '0' && each <= '9'; });
  return text;
}

}  // namespace

void RuledOutReasons::add(const std::string& message) {
  const auto [known, is_new] = reasons_.try_emplace(without_digits(problem_of(message)));
  Reason& reason = known->second;
  if (is_new) reason.first = message;
  reason.varies = reason.varies || reason.first != message;
  ++reason.layouts;
}

std::vector<RuledOut> RuledOutReasons::list() const {
  std::vector<RuledOut> list;
  for (const auto& [common, reason] : reasons_) {
    list.push_back({reason.varies ? problem_of(reason.first) + ", and the like" : reason.first,
                    reason.layouts});
  }
  std::ranges::stable_sort(list, std::greater(), &RuledOut::layouts);
  return list;
}

}  // namespace masformer
