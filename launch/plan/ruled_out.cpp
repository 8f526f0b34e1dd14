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

std::string RuledOut::summary() const {
  return varies ? problem_of(message) + ", and the like" : message;
}

void RuledOutReasons::add(const std::string& message) {
  const auto [known, is_new] = reasons_.try_emplace(without_digits(problem_of(message)));
  RuledOut& reason = known->second;
  if (is_new) reason.message = message;
  reason.varies = reason.varies || reason.message != message;
  ++reason.layouts;
}

std::vector<RuledOut> RuledOutReasons::list() const {
  std::vector<RuledOut> list;
  for (const auto& [problem, reason] : reasons_) list.push_back(reason);
  std::ranges::stable_sort(list, std::greater(), &RuledOut::layouts);
  return list;
}

}  // namespace masformer
