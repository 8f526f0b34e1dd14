// Refuses to run where ranks differ in what they must share: they would wait for messages that
// nobody sends.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "parallel/comm/communicator.h"

namespace masformer {

// Pairs of a name and a value, as messages show them.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

// Throws AgreedUsageError on all ranks unless all have the values of rank 0, which no two have by
// the same name. The message has a line for each that differs, in the order of `own`, but for a few
// at most, and then the remedy. A long value is cut to what follows the first difference.
// Collective.
void require_same_values(Communicator& world, const NamedValues& own, std::string_view remedy);

}  // namespace masformer
