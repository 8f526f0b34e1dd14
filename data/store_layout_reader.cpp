#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include <hdf5.h>

#include "data/store_layout.h"
#include "runtime/error.h"
#include "runtime/io/hdf5_handle.h"

// Tokens are read without conversion.
static_assert(std::endian::native == std::endian::little, "token stores are little-endian");

namespace masformer::data {

using namespace io;

namespace {

// The file that holds the object; a link may have led to another file.
std::string file_name(hid_t object) {
  std::string name(static_cast<std::size_t>(std::max<ssize_t>(H5Fget_name(object, nullptr, 0), 0)),
                   '\0');
  H5Fget_name(object, name.data(), name.size() + 1);
  return name;
}

class LayoutReader {
 public:
  explicit LayoutReader(const std::filesystem::path& path);
  StoreLayout read();

 private:
  template <class... Args>
  [[noreturn]] void unusable(fmt::format_string<Args...> format, Args&&... args) const {
    refuse("{} is not a usable token store: {}", path_.string(),
           fmt::format(format, std::forward<Args>(args)...));
  }
  Hdf5Dataset dataset(const char* name) const;
  std::int64_t length(const Hdf5Dataset& dataset, const char* name) const;
  void read_tokens(StoreLayout& layout) const;
  void read_documents(StoreLayout& layout) const;
  void read_attributes(StoreLayout& layout) const;
  Hdf5Attribute attribute(const char* name) const;
  std::optional<std::int64_t> integer(const char* name) const;
  std::optional<std::string> text(const char* name) const;

  std::filesystem::path path_;
  Hdf5File file_;
};

LayoutReader::LayoutReader(const std::filesystem::path& path) : path_(path) {
  const Hdf5Properties access = unlocked_access();
  file_ = Hdf5File(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()));
  if (!file_) unusable("HDF5 can't open it ({})", hdf5_reason());
}

StoreLayout LayoutReader::read() {
  StoreLayout layout;
  read_tokens(layout);
  read_documents(layout);
  read_attributes(layout);
  return layout;
}

Hdf5Dataset LayoutReader::dataset(const char* name) const {
  if (H5Lexists(file_.id(), name, H5P_DEFAULT) <= 0) unusable("it has no {}", name);
  Hdf5Dataset opened(H5Dopen2(file_.id(), name, H5P_DEFAULT));
  if (!opened) unusable("{} can't be opened as a dataset ({})", name, hdf5_reason());
  return opened;
}

std::int64_t LayoutReader::length(const Hdf5Dataset& dataset, const char* name) const {
  const Hdf5Space space(H5Dget_space(dataset.id()));
  const int dims = H5Sget_simple_extent_ndims(space.id());
  if (dims != 1) unusable("{} has {} dimensions instead of 1", name, dims);
  return H5Sget_simple_extent_npoints(space.id());
}

void LayoutReader::read_tokens(StoreLayout& layout) const {
  const Hdf5Dataset tokens = dataset("/tokens");
  const Hdf5Type type(H5Dget_type(tokens.id()));
  if (H5Tequal(type.id(), H5T_STD_U16LE) > 0) layout.token_bytes = 2;
  if (H5Tequal(type.id(), H5T_STD_U32LE) > 0) layout.token_bytes = 4;
  if (layout.token_bytes == 0) {
    unusable("/tokens holds neither little-endian uint16 nor little-endian uint32");
  }
  layout.tokens = length(tokens, "/tokens");
  if (layout.tokens == 0) {
    unusable("it holds no tokens; prepare it again from text that isn't empty");
  }
  const Hdf5Properties creation(H5Dget_create_plist(tokens.id()));
  if (H5Pget_layout(creation.id()) != H5D_CONTIGUOUS) {
    unusable("/tokens is chunked, compressed or compact; write it contiguous, without a filter");
  }
  const haddr_t offset = H5Dget_offset(tokens.id());
  if (offset == HADDR_UNDEF || file_name(tokens.id()) != file_name(file_.id())) {
    unusable("/tokens was never written, or is in another file");
  }
  layout.offset = static_cast<std::int64_t>(offset);
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path_));
  if (layout.offset > size || layout.tokens > (size - layout.offset) / layout.token_bytes) {
    unusable("{} tokens of {} bytes from byte {} end beyond the file's {} bytes; it was cut off",
             layout.tokens, layout.token_bytes, layout.offset, size);
  }
}

void LayoutReader::read_documents(StoreLayout& layout) const {
  const Hdf5Dataset documents = dataset("/documents");
  const Hdf5Type type(H5Dget_type(documents.id()));
  if (H5Tget_class(type.id()) != H5T_INTEGER) unusable("/documents does not hold integers");
  const std::int64_t count = length(documents, "/documents");
  if (count < 1 || count > layout.tokens || count > std::numeric_limits<std::int32_t>::max()) {
    unusable("/documents has {} entries for {} tokens", count, layout.tokens);
  }
  // Read as signed integers, so that a negative entry of a signed dataset is noticed.
  std::vector<std::int64_t> first(static_cast<std::size_t>(count));
  if (H5Dread(documents.id(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, first.data()) < 0) {
    unusable("/documents can't be read ({})", hdf5_reason());
  }
  if (first[0] != 0) unusable("/documents starts with {} instead of 0", first[0]);
  for (std::size_t i = 1; i < first.size(); ++i) {
    if (first[i] <= first[i - 1] || first[i] >= layout.tokens) {
      unusable(
          "/documents[{}] = {} is not between the entry before it ({}) and the number of "
          "tokens ({})",
          i, first[i], first[i - 1], layout.tokens);
    }
  }
  layout.documents.assign(first.begin(), first.end());
}

void LayoutReader::read_attributes(StoreLayout& layout) const {
  const std::string format = text("format").value_or(store_format);
  if (format != store_format)
    unusable("its format is \"{}\" instead of \"{}\"", format, store_format);
  const std::int64_t version = integer("version").value_or(store_version);
  if (version != store_version) {
    unusable("its version is {}, and this program reads version {}", version, store_version);
  }
  layout.tokenizer = text("tokenizer").value_or("");
  layout.vocabulary = integer("vocabulary").value_or(-1);
  layout.largest_id = integer("largest_id").value_or(-1);
}

// Empty where the root has no such attribute.
Hdf5Attribute LayoutReader::attribute(const char* name) const {
  if (H5Aexists(file_.id(), name) <= 0) return {};
  Hdf5Attribute opened(H5Aopen(file_.id(), name, H5P_DEFAULT));
  if (!opened) unusable("attribute {} can't be opened ({})", name, hdf5_reason());
  const Hdf5Space space(H5Aget_space(opened.id()));
  if (H5Sget_simple_extent_npoints(space.id()) != 1)
    unusable("attribute {} is not one value", name);
  return opened;
}

std::optional<std::int64_t> LayoutReader::integer(const char* name) const {
  const Hdf5Attribute found = attribute(name);
  if (!found) return std::nullopt;
  std::int64_t value = 0;
  const Hdf5Type type(H5Aget_type(found.id()));
  if (H5Tget_class(type.id()) != H5T_INTEGER || H5Aread(found.id(), H5T_NATIVE_INT64, &value) < 0 ||
      value < 0) {
    unusable("attribute {} is not a non-negative integer", name);
  }
  return value;
}

std::optional<std::string> LayoutReader::text(const char* name) const {
  const Hdf5Attribute found = attribute(name);
  if (!found) return std::nullopt;
  const Hdf5Type type(H5Aget_type(found.id()));
  if (H5Tget_class(type.id()) != H5T_STRING) unusable("attribute {} is not a string", name);
  if (H5Tis_variable_str(type.id()) > 0) {
    char* value = nullptr;  // HDF5's own memory
    if (H5Aread(found.id(), type.id(), &value) < 0 || value == nullptr) {
      unusable("attribute {} can't be read ({})", name, hdf5_reason());
    }
    std::string copy(value);
    H5free_memory(value);
    return copy;
  }
  std::string value(H5Tget_size(type.id()), '\0');
  if (H5Aread(found.id(), type.id(), value.data()) < 0) {
    unusable("attribute {} can't be read ({})", name, hdf5_reason());
  }
  value.resize(std::strlen(value.c_str()));  // the rest is padding
  return value;
}

}  // namespace

StoreLayout read_store_layout(const std::filesystem::path& path) {
  const Hdf5Quiet quiet;
  return LayoutReader(path).read();
}

}  // namespace masformer::data
