#include "launch/options/option_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "data/utf8.h"
#include "runtime/error.h"

namespace masformer {
namespace {

template <class T>
bool read_number(const std::string& text, T& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

std::string check_range(const std::string& name, const OptionInfo& info, double value) {
  if (!std::isfinite(value)) return fmt::format("{}={} is not a finite number", name, value);
  if (value < info.minimum) {
    return fmt::format("{}={} is too small: at least {}", name, value, info.minimum);
  }
  if (value > info.maximum) {
    return fmt::format("{}={} is too large: at most {}", name, value, info.maximum);
  }
  return {};
}

std::string check_choice(const std::string& name, const OptionInfo& info, const std::string& text) {
  if (info.choices.empty() || std::ranges::count(info.choices, text) > 0) return {};
  return fmt::format("{}={} is not known: pick one of {}", name, text,
                     fmt::join(info.choices, ", "));
}

}  // namespace

template <class T>
void OptionTable::add_number(const std::string& name, T& target, OptionInfo info,
                             const char* kind) {
  Entry entry{.name = name, .info = std::move(info)};
  entry.text = [&target] { return fmt::format("{}", target); };
  entry.assign = [&target, name, rules = entry.info, kind](const auto& texts) -> std::string {
    T value{};
    if (!read_number(texts.back(), value)) {
      return fmt::format("{}={} is not {}", name, texts.back(), kind);
    }
    std::string wrong = check_range(name, rules, static_cast<double>(value));
    if (wrong.empty()) target = value;
    return wrong;
  };
  entry.default_text = entry.text();
  entries_.push_back(std::move(entry));
}

void OptionTable::add(const std::string& name, std::int64_t& target, OptionInfo info) {
  add_number(name, target, std::move(info), "a whole number");
}

void OptionTable::add(const std::string& name, double& target, OptionInfo info) {
  add_number(name, target, std::move(info), "a number");
}

void OptionTable::add(const std::string& name, std::string& target, OptionInfo info) {
  Entry entry{.name = name, .info = std::move(info), .default_text = target};
  entry.text = [&target] { return target; };
  entry.assign = [&target, name, rules = entry.info](const auto& texts) {
    std::string wrong = check_choice(name, rules, texts.back());
    // Records of options travel as JSON.
    if (!data::is_utf8(texts.back())) wrong = fmt::format("{} is not UTF-8: rename it", name);
    if (wrong.empty()) target = texts.back();
    return wrong;
  };
  entries_.push_back(std::move(entry));
}

void OptionTable::add(const std::string& name, bool& target, OptionInfo info) {
  Entry entry{.name = name, .info = std::move(info)};
  entry.info.choices = {"true", "false"};
  entry.text = [&target] { return target ? "true" : "false"; };
  entry.assign = [&target, name, rules = entry.info](const auto& texts) {
    std::string wrong = check_choice(name, rules, texts.back());
    if (wrong.empty()) target = texts.back() == "true";
    return wrong;
  };
  entry.default_text = entry.text();
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

OnResume OptionTable::on_resume(const std::string& name) const {
  const Entry* const entry = find(name);
  return entry == nullptr ? OnResume::may_change : entry->info.on_resume;
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

std::string OptionTable::help() const {
  std::string text;
  std::string section;
  for (const Entry& entry : entries_) {
    const auto dot = entry.name.find('.');
    const std::string own = dot == std::string::npos ? "" : entry.name.substr(0, dot);
    if (own != section) text += fmt::format("\n[{}]\n", own);
    section = own;
    const std::string prefix = entry.positional ? "" : "--";
    std::string notes = entry.info.help;
    if (!entry.info.choices.empty()) {
      notes += fmt::format(" One of {}.", fmt::join(entry.info.choices, ", "));
    }
    if (!entry.default_text.empty()) notes += fmt::format(" Default: {}.", entry.default_text);
    if (entry.info.on_resume == OnResume::must_match) notes += " Fixed for a run.";
    text += fmt::format("  {:<38} {}\n", prefix + entry.name + " " + entry.info.value, notes);
  }
  return text;
}

}  // namespace masformer
