// Enums whose values people read and write: in options, messages and files. The values and their
// names are one list, from which the enum, name_of(), names_of() and parse_enum() follow:
//
//   #define MASFORMER_COLORS(VALUE) VALUE(red, "red") VALUE(blue, "blue")
//   MASFORMER_NAMED_ENUM(Color, MASFORMER_COLORS);
//   #undef MASFORMER_COLORS
//
//   name_of(Color::red)         "red"
//   names_of<Color>()           {"red", "blue"}, in the order of the list
//   parse_enum<Color>("blue")   Color::blue; throws UsageError that lists the names for any other
//
// A row may have more columns than these two; the macro ignores them. The enum is in namespace
// masformer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.h"

namespace masformer {

template <class Enum>
struct NamedValue {
  Enum value;
  std::string_view name;
};

// The table of a named enum; empty for any other.
template <class Enum>
inline constexpr std::array<NamedValue<Enum>, 0> enum_names{};

template <class Enum>
concept NamedEnum = !enum_names<Enum>.empty();

#define MASFORMER_ENUM_VALUE(value, ...) value,
#define MASFORMER_ENUM_ROW(value, name, ...) {value, name},
#define MASFORMER_NAMED_ENUM(Enum, LIST)                                \
  enum class Enum : std::uint8_t { LIST(MASFORMER_ENUM_VALUE) };        \
  template <>                                                           \
  inline constexpr auto enum_names<Enum> = [] {                         \
    using enum Enum;                                                    \
    return std::to_array<NamedValue<Enum>>({LIST(MASFORMER_ENUM_ROW)}); \
  }()

template <NamedEnum Enum>
std::string_view name_of(Enum value) {
  for (const auto& row : enum_names<Enum>) {
    if (row.value == value) return row.name;
  }
  fail("a named enum has no value {}", static_cast<int>(value));
}

// All names, for the choices of an option.
template <NamedEnum Enum>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  for (const auto& row : enum_names<Enum>) names.emplace_back(row.name);
  return names;
}

// The value of that name, if there is one.
template <NamedEnum Enum>
std::optional<Enum> find_enum(std::string_view name) {
  for (const auto& row : enum_names<Enum>) {
    if (row.name == name) return row.value;
  }
  return std::nullopt;
}

[[noreturn]] void refuse_name(std::string_view name, const std::vector<std::string>& choices);

template <NamedEnum Enum>
Enum parse_enum(std::string_view name) {
  if (const auto value = find_enum<Enum>(name)) return *value;
  refuse_name(name, names_of<Enum>());
}

}  // namespace masformer
