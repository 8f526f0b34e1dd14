#include "tests/fuzz/store_recipe.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <hdf5.h>

#include "runtime/io/hdf5_handle.h"

namespace masformer::fuzz {
namespace {

using namespace io;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::optional<std::int64_t> number(std::string_view word) {
  std::int64_t value = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

hid_t type_of(const RecipeLine& line) {
  const std::pair<const char*, hid_t> types[] = {
      {"u8", H5T_STD_U8LE},    {"u16", H5T_STD_U16LE},   {"u32", H5T_STD_U32LE},
      {"u64", H5T_STD_U64LE},  {"i16", H5T_STD_I16LE},   {"i32", H5T_STD_I32LE},
      {"i64", H5T_STD_I64LE},  {"u16be", H5T_STD_U16BE}, {"u64be", H5T_STD_U64BE},
      {"f32", H5T_IEEE_F32LE}, {"f64", H5T_IEEE_F64LE},  {"bits", H5T_STD_B16LE}};
  for (const auto& [name, type] : types) {
    if (line.says(name)) return type;
  }
  return H5T_STD_U16LE;
}

// "[2x3]"; as many as there are values where the line does not say. Small, whatever it says.
std::vector<hsize_t> extents_of(const RecipeLine& line) {
  constexpr std::int64_t most = 64;
  for (const std::string& word : line.words) {
    if (word.size() < 2 || word.front() != '[' || word.back() != ']') continue;
    std::vector<hsize_t> extents;
    for (const std::string& part : split(std::string_view(word).substr(1, word.size() - 2), 'x')) {
      if (extents.size() == 3) break;
      extents.push_back(std::clamp<std::int64_t>(number(part).value_or(0), 0, most));
    }
    return extents;
  }
  return {line.numbers.size()};
}

Hdf5Space space_of(const RecipeLine& line) {
  if (line.says("null")) return Hdf5Space(H5Screate(H5S_NULL));
  const std::vector<hsize_t> extents = extents_of(line);
  if (extents.empty()) return Hdf5Space(H5Screate(H5S_SCALAR));
  return Hdf5Space(
      H5Screate_simple(static_cast<int>(extents.size()), extents.data(), extents.data()));
}

// Zeros behind those that the line gives.
std::vector<std::int64_t> values_of(const RecipeLine& line, const Hdf5Space& space) {
  const hssize_t points = H5Sget_simple_extent_npoints(space.id());
  std::vector<std::int64_t> values = line.numbers;
  values.resize(static_cast<std::size_t>(std::max<hssize_t>(points, 1)));
  return values;
}

void write_dataset(hid_t file, const RecipeLine& line) {
  const Hdf5Space space = space_of(line);
  const Hdf5Properties creation(H5Pcreate(H5P_DATASET_CREATE));
  const std::vector<hsize_t> chunk(extents_of(line).size(), 2);
  if (line.says("chunked")) {
    H5Pset_chunk(creation.id(), static_cast<int>(chunk.size()), chunk.data());
  }
  if (line.says("compact")) H5Pset_layout(creation.id(), H5D_COMPACT);
  if (line.says("elsewhere")) H5Pset_external(creation.id(), "/dev/null", 0, H5F_UNLIMITED);
  const Hdf5Dataset made(H5Dcreate2(file, line.name.c_str(), type_of(line), space.id(), H5P_DEFAULT,
                                    creation.id(), H5P_DEFAULT));
  if (!made || line.says("elsewhere") || line.says("unwritten")) return;
  H5Dwrite(made.id(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT,
           values_of(line, space).data());
}

// A valid store, as the target of external links.
const ScratchFile& other_store() {
  static const ScratchFile other;
  static const bool written = [] {
    write_store(read_recipe("/tokens u16 9 8 7 6 5\n/documents u64 0 1\n"), other);
    return true;
  }();
  static_cast<void>(written);
  return other;
}

void write_object(hid_t file, const RecipeLine& line) {
  const std::string target = line.words.empty() ? "" : line.words.back();
  if (line.says("group")) {
    const Hdf5Group made(
        H5Gcreate2(file, line.name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  } else if (line.says("soft")) {
    H5Lcreate_soft(target.c_str(), file, line.name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
  } else if (line.says("external")) {
    H5Lcreate_external(other_store().path().c_str(), target.c_str(), file, line.name.c_str(),
                       H5P_DEFAULT, H5P_DEFAULT);
  } else {
    write_dataset(file, line);
  }
}

void write_text(hid_t file, const RecipeLine& line) {
  const Hdf5Space space(H5Screate(H5S_SCALAR));
  const Hdf5Type type(H5Tcopy(H5T_C_S1));
  const bool variable = line.says("vstr");
  H5Tset_size(type.id(), variable ? H5T_VARIABLE : std::max<std::size_t>(line.rest.size(), 1));
  if (line.says("spaces")) H5Tset_strpad(type.id(), H5T_STR_SPACEPAD);
  const Hdf5Attribute made(
      H5Acreate2(file, line.name.c_str(), type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT));
  const char* const value = line.rest.c_str();
  if (!made || line.says("unwritten")) return;
  H5Awrite(made.id(), type.id(), variable ? static_cast<const void*>(&value) : value);
}

void write_attribute(hid_t file, const RecipeLine& line) {
  if (line.says("str") || line.says("vstr")) return write_text(file, line);
  const Hdf5Space space = line.numbers.size() == 1 && !line.says("null")
                              ? Hdf5Space(H5Screate(H5S_SCALAR))
                              : space_of(line);
  const Hdf5Attribute made(
      H5Acreate2(file, line.name.c_str(), type_of(line), space.id(), H5P_DEFAULT, H5P_DEFAULT));
  if (made) H5Awrite(made.id(), H5T_NATIVE_INT64, values_of(line, space).data());
}

}  // namespace

bool RecipeLine::says(std::string_view word) const {
  return std::ranges::find(words, word) != words.end();
}

std::vector<RecipeLine> read_recipe(std::string_view text) {
  std::vector<RecipeLine> recipe;
  for (const std::string& line : split(text, '\n')) {
    RecipeLine read;
    read.words = split(line, ' ');
    if (read.words.empty()) continue;
    read.name = read.words.front();
    read.words.erase(read.words.begin());
    for (const std::string& word : read.words) {
      if (const auto value = number(word)) read.numbers.push_back(*value);
    }
    read.rest = line.substr(std::min(line.find(read.name) + read.name.size(), line.size()));
    recipe.push_back(std::move(read));
  }
  return recipe;
}

const RecipeLine* find_line(const std::vector<RecipeLine>& recipe, std::string_view name) {
  const auto found = std::ranges::find(recipe, name, &RecipeLine::name);
  return found == recipe.end() ? nullptr : &*found;
}

void write_store(const std::vector<RecipeLine>& recipe, const ScratchFile& file) {
  const Hdf5Quiet quiet;
  const Hdf5Properties creation(H5Pcreate(H5P_FILE_CREATE));
  const RecipeLine* const block = find_line(recipe, "userblock");
  if (block != nullptr && !block->numbers.empty() && block->numbers[0] > 0) {
    H5Pset_userblock(creation.id(), std::min<std::int64_t>(block->numbers[0], 4096));
  }
  const Hdf5Properties access = unlocked_access();
  const Hdf5File made(H5Fcreate(file.path().c_str(), H5F_ACC_TRUNC, creation.id(), access.id()));
  if (!made) return;
  for (const RecipeLine& line : recipe) {
    if (line.name.front() == '/') {
      write_object(made.id(), line);
    } else {
      write_attribute(made.id(), line);
    }
  }
}

bool damage_tokens(const std::vector<RecipeLine>& recipe, const ScratchFile& file,
                   std::int64_t offset, std::int64_t size) {
  bool damaged = false;
  for (const RecipeLine& line : recipe) {
    if (line.name != "byte" || line.numbers.size() < 2 || size <= 0) continue;
    const std::int64_t at = offset + (line.numbers[0] & INT64_MAX) % size;
    const auto value = static_cast<std::byte>(line.numbers[1] & 255);
    file.write_at(at, std::span(&value, 1));
    damaged = true;
  }
  return damaged;
}

}  // namespace masformer::fuzz
