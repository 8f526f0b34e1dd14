// Refuses to run where ranks differ in what they must share: they would wait for messages that
// nobody sends.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "parallel/comm/communicator.h"

namespace masformer {

// Names and values, both for people.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

// Throws AgreedUsageError on all ranks unless all have the values of rank 0. The message has a line
// for each value of a rank that differs, in the order of `own`, and then the remedy; of long
// values, what stands where they begin to differ. Collective.
void require_same_values(Communicator& world, const NamedValues& own, std::string_view remedy);

}  // namespace masformer
