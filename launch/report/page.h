// The page of `masformer report`: one HTML document that needs no other file and no network.
#pragma once

#include <string>
#include <vector>

#include "launch/report/run_files.h"

namespace masformer {

// The figures with their tables, what happened, and what is missing. Several runs are beside each
// other: a line or a column for each. Without Chart.js in the program, the curves are tables only.
std::string report_page(const std::vector<RunFiles>& runs);

}  // namespace masformer
