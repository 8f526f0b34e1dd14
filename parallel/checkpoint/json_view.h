// A JSON value with its place in the text, for error messages.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/error.h"

namespace masformer::checkpoint {

class JsonView {
 public:
  // `place` is a JSON pointer; "" is the whole text. The value must outlive the view.
  JsonView(const nlohmann::json& value, std::string place)
      : value_(&value), place_(std::move(place)) {}

  const nlohmann::json& value() const { return *value_; }

  JsonView member(const std::string& key) const {
    expect(value_->is_object(), "an object");
    const auto found = value_->find(key);
    if (found == value_->end()) fail("{}: \"{}\" is missing", shown(), key);
    return {*found, place_ + "/" + key};
  }
  // Calls visit(key, view) for each member of an object.
  template <class Visit>
  void each_member(Visit visit) const {
    expect(value_->is_object(), "an object");
    for (const auto& [key, value] : value_->items())
      visit(key, JsonView(value, place_ + "/" + key));
  }
  // Calls visit(view) for each element of an array.
  template <class Visit>
  void each_element(Visit visit) const {
    expect(value_->is_array(), "an array");
    for (std::size_t i = 0; i < value_->size(); ++i) {
      visit(JsonView((*value_)[i], place_ + "/" + std::to_string(i)));
    }
  }
  std::string text() const {
    expect(value_->is_string(), "a string");
    return value_->get<std::string>();
  }
  std::int64_t count() const {
    const bool fits = value_->is_number_unsigned() &&
                      value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX);
    expect(fits, "an integer from 0 to 2^63 - 1");
    return value_->get<std::int64_t>();
  }
  std::vector<std::int64_t> counts() const {
    std::vector<std::int64_t> all;
    each_element([&](const JsonView& element) { all.push_back(element.count()); });
    return all;
  }
  // Throws Error "PLACE: VALUE is not WHAT" unless `holds`.
  void expect(bool holds, const char* what) const {
    if (!holds) fail("{}: {} is not {}", shown(), excerpt(), what);
  }

 private:
  std::string shown() const { return place_.empty() ? "/" : place_; }
  std::string excerpt() const {
    constexpr std::size_t longest = 60;
    std::string text = value_->dump();
    if (text.size() > longest) text = text.substr(0, longest) + "...";
    return text;
  }

  const nlohmann::json* value_;
  std::string place_;
};

}  // namespace masformer::checkpoint
