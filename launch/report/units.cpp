#include "launch/report/units.h"

#include <array>
#include <cmath>
#include <ctime>
#include <string_view>

#include <fmt/format.h>

#include "launch/output/console.h"

namespace masformer {

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return "";
  if (seconds >= 60) return duration(seconds);
  if (seconds >= 1) return fmt::format("{:.3g} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.3g} ms", 1e3 * seconds);
  return fmt::format("{:.3g} µs", 1e6 * seconds);
}

std::string bytes_text(double bytes) {
  constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < units.size(); ++unit) bytes /= 1024;
  return fmt::format("{:.4g} {}", bytes, units[unit]);
}

std::string share_text(double share) {
  return fmt::format("{:.1f}%", 100 * share);
}

std::string date_text(double time) {
  const auto seconds = static_cast<std::time_t>(time);
  std::tm utc{};
  std::array<char, 32> text{};
  if (gmtime_r(&seconds, &utc) == nullptr) return "";
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &utc);
  return {text.data(), length};
}

std::string number_text(double number) {
  constexpr double exact = 9007199254740992;  // 2^53
  if (!std::isfinite(number)) return "";
  if (number == std::floor(number) && std::abs(number) <= exact) {
    return fmt::format("{}", static_cast<std::int64_t>(number));
  }
  return fmt::format("{:.6g}", number);
}

}  // namespace masformer
