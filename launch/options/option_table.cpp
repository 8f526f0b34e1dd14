#include "launch/options/option_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "data/utf8.h"
#include "runtime/error.h"

namespace masformer {
namespace {

std::string too_small(const std::string& name, const std::string& text, auto minimum) {
  return fmt::format("{}={} is too small: at least {}", name, text, minimum);
}

std::string too_large(const std::string& name, const std::string& text, auto maximum) {
  return fmt::format("{}={} is too large: at most {}", name, text, maximum);
}

// The message for a number that its type can't hold.
std::string out_of_range(const std::string& name, const std::string& text,
                         Bounds<std::int64_t> bounds) {
  return text.starts_with('-') ? too_small(name, text, bounds.minimum)
                               : too_large(name, text, bounds.maximum);
}

std::string out_of_range(const std::string& name, const std::string& text, Bounds<double> bounds) {
  const double nearest = std::strtod(text.c_str(), nullptr);
  if (std::isfinite(nearest)) return fmt::format("{}={} is too close to 0: write 0", name, text);
  return nearest < 0 ? too_small(name, text, bounds.minimum)
                     : too_large(name, text, bounds.maximum);
}

// Parses `text` into `value`. Returns a message if that fails, else "".
template <class T>
std::string read_number(const std::string& name, const std::string& text, Bounds<T> bounds,
                        T& value) {
  const char* const end = text.data() + text.size();
  T read{};
  const auto [stop, error] = std::from_chars(text.data(), end, read);
  if (stop != end || error == std::errc::invalid_argument) {
    return fmt::format("{}={} is not a {}", name, text,
                       std::is_integral_v<T> ? "whole number" : "number");
  }
  if (error == std::errc::result_out_of_range) return out_of_range(name, text, bounds);
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(read)) return fmt::format("{}={} is not a finite number", name, text);
  }
  if (read < bounds.minimum) return too_small(name, text, bounds.minimum);
  if (read > bounds.maximum) return too_large(name, text, bounds.maximum);
  value = read;
  return {};
}

// Wraps text into lines of at most 80 columns, indented below their option.
std::string wrap(const std::string& text) {
  constexpr std::size_t columns = 80;
  const std::string indent(8, ' ');
  std::string lines, line = indent;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (line.size() > indent.size() && line.size() + 1 + word.size() > columns) {
      lines += line + "\n";
      line = indent;
    }
    line += (line.size() > indent.size() ? " " : "") + word;
  }
  return lines + line + "\n";
}

// Without the empty one, which means that nothing is chosen.
std::string list_of(std::vector<std::string> choices) {
  std::erase(choices, "");
  return fmt::format("{}", fmt::join(choices, ", "));
}

std::string check_choice(const std::string& name, const OptionInfo& info, const std::string& text) {
  if (info.choices.empty() || std::ranges::count(info.choices, text) > 0) return {};
  return fmt::format("{}={} is not known: pick one of {}", name, text, list_of(info.choices));
}

}  // namespace

template <class T>
void OptionTable::add_number(const std::string& name, T& target, Bounds<T> bounds,
                             OptionInfo info) {
  Entry entry{.name = name, .info = std::move(info)};
  entry.text = [&target] { return fmt::format("{}", target); };
  entry.assign = [&target, name, bounds](const auto& texts) {
    return read_number(name, texts.back(), bounds, target);
  };
  entry.default_text = entry.text();
  entries_.push_back(std::move(entry));
}

void OptionTable::add(const std::string& name, std::int64_t& target, Bounds<std::int64_t> bounds,
                      OptionInfo info) {
  add_number(name, target, bounds, std::move(info));
}

void OptionTable::add(const std::string& name, double& target, Bounds<double> bounds,
                      OptionInfo info) {
  add_number(name, target, bounds, std::move(info));
}

void OptionTable::add(const std::string& name, std::string& target, OptionInfo info) {
  Entry entry{.name = name, .info = std::move(info), .default_text = target};
  entry.text = [&target] { return target; };
  entry.assign = [&target, name, rules = entry.info](const auto& texts) {
    std::string wrong = check_choice(name, rules, texts.back());
    // Records of options are stored as JSON, which must be UTF-8.
    if (!data::is_utf8(texts.back()))
      wrong = fmt::format("the value of {} is not UTF-8: use a name that is", name);
    if (wrong.empty()) target = texts.back();
    return wrong;
  };
  entries_.push_back(std::move(entry));
}

void OptionTable::add_choice(const std::string& name, OptionInfo info,
                             std::function<void(const std::string&)> set,
                             std::function<std::string()> text) {
  Entry entry{.name = name, .info = std::move(info), .default_text = text()};
  entry.text = std::move(text);
  entry.assign = [name, rules = entry.info, set = std::move(set)](const auto& texts) {
    std::string wrong = check_choice(name, rules, texts.back());
    if (wrong.empty()) set(texts.back());
    return wrong;
  };
  entries_.push_back(std::move(entry));
}

void OptionTable::add_flag(const std::string& name, bool& target, const std::string& help) {
  Entry entry{.name = name, .info = {.help = help}, .flag = true};
  entry.assign = [&target](const auto&) {
    target = true;
    return std::string();
  };
  entries_.push_back(std::move(entry));
}

void OptionTable::add_list(const std::string& name, std::vector<std::string>& target,
                           OptionInfo info) {
  Entry entry{.name = name, .info = std::move(info), .list = true};
  entry.assign = [&target](const auto& texts) {
    target = texts;
    return std::string();
  };
  entries_.push_back(std::move(entry));
}

void OptionTable::add_positional(const std::string& name, std::vector<std::string>& target,
                                 OptionInfo info) {
  add_list(name, target, std::move(info));
  entries_.back().positional = true;
}

const OptionTable::Entry* OptionTable::find(const std::string& name) const {
  const auto found = std::ranges::find(entries_, name, &Entry::name);
  return found == entries_.end() ? nullptr : &*found;
}

bool OptionTable::was_set(const std::string& name) const {
  const Entry* const entry = find(name);
  return entry != nullptr && entry->set;
}

bool OptionTable::is_open(const std::string& name) const {
  const Entry* const entry = find(name);
  const std::string value = entry != nullptr ? entry->text() : "";
  return value.empty() || value == "auto" || value == "0";
}

OnResume OptionTable::on_resume(const std::string& name) const {
  const Entry* const entry = find(name);
  return entry == nullptr ? OnResume::may_change : entry->info.on_resume;
}

std::string OptionTable::default_value(const std::string& name) const {
  const Entry* const entry = find(name);
  require(entry != nullptr, "there is no option {}", name);
  return entry->default_text;
}

std::map<std::string, std::string> OptionTable::record() const {
  std::map<std::string, std::string> record;
  for (const Entry& entry : entries_) {
    if (entry.name.find('.') != std::string::npos) record[entry.name] = entry.text();
  }
  return record;
}

void OptionTable::apply_record(const std::map<std::string, std::string>& record) {
  for (Entry& entry : entries_) {
    const auto found = record.find(entry.name);
    if (entry.set || found == record.end()) continue;
    const std::string wrong = entry.assign({found->second});
    if (!wrong.empty()) refuse("{}", wrong);
  }
}

void OptionTable::inherit(const std::vector<std::string>& names) {
  for (Entry& entry : entries_) entry.inherited |= std::ranges::count(names, entry.name) > 0;
}

void OptionTable::apply_inherited(std::map<std::string, std::string> record) {
  std::erase_if(record, [&](const auto& recorded) {
    const Entry* const entry = find(recorded.first);
    return entry == nullptr || !entry->inherited;
  });
  apply_record(record);
}

std::string OptionTable::Entry::notes() const {
  std::string words = info.help;
  if (!info.choices.empty()) words += fmt::format(" One of {}.", list_of(info.choices));
  if (inherited) return words + " Default: the checkpoint's.";
  if (!default_text.empty()) words += fmt::format(" Default: {}.", default_text);
  if (info.on_resume == OnResume::must_match) words += " Fixed for a run.";
  return words;
}

std::string OptionTable::help() const {
  std::string text;
  std::string section;
  for (const Entry& entry : entries_) {
    const auto dot = entry.name.find('.');
    const std::string own = dot == std::string::npos ? "" : entry.name.substr(0, dot);
    if (own != section) text += own.empty() ? "\n" : fmt::format("\n[{}]\n", own);
    section = own;
    text += fmt::format("  {}{}{}{}\n", entry.positional ? "" : "--", entry.name,
                        entry.info.value.empty() ? "" : " ", entry.info.value);
    text += wrap(entry.notes());
  }
  return text;
}

}  // namespace masformer
