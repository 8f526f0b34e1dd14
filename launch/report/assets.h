// Files that are part of the program: cmake/EmbedTexts.cmake writes their definitions.
#pragma once

#include <string_view>

namespace masformer::assets {

extern const std::string_view chart_library;  // Chart.js; empty if the build found none
extern const std::string_view page_style;     // page.css
extern const std::string_view page_script;    // page.js

}  // namespace masformer::assets
