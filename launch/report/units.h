// Numbers of a report as text.
#pragma once

#include <string>

namespace masformer {

std::string duration_text(double seconds);  // "512 ms", "3.2 s", "2 h 05 min"
std::string bytes_text(double bytes);       // "1.5 MiB"
std::string share_text(double share);       // "12.5%"
// The time of a clock that counts seconds since 1970: "2026-11-29 01:02:03", in UTC.
std::string date_text(double time);
// Six significant digits; whole numbers up to 2^53 in full; "" for what is no finite number.
std::string number_text(double number);

}  // namespace masformer
