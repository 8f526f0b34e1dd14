#include "tests/support/golden.h"

#include <functional>
#include <numeric>
#include <utility>

#include <hdf5.h>

#include "runtime/error.h"

namespace masformer::test {
namespace {

// Owns one HDF5 id.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);

  // `what` goes into the message where HDF5 gave no id.
  Handle(hid_t id, Close close, const std::string& what) : id_(id), close_(close) {
    require(id >= 0, "cannot open {}", what);
  }
  Handle(Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }

  hid_t get() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

template <class T>
hid_t memory_type();
template <>
hid_t memory_type<std::int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t memory_type<std::int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
hid_t memory_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
hid_t memory_type<double>() {
  return H5T_NATIVE_DOUBLE;
}

class GoldenFile {
 public:
  explicit GoldenFile(std::string path)
      : path_(std::move(path)),
        file_(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path_) {}

  template <class T>
  T number(const char* name) const {
    const Handle attribute = open_attribute(name);
    T value{};
    check(H5Aread(attribute.get(), memory_type<T>(), &value), name);
    return value;
  }

  // A string of fixed length, as the generator writes it.
  std::string text(const char* name) const {
    const Handle attribute = open_attribute(name);
    const Handle type(H5Aget_type(attribute.get()), H5Tclose, describe(name));
    std::string value(H5Tget_size(type.get()), '\0');
    check(H5Aread(attribute.get(), type.get(), value.data()), name);
    return value;
  }

  template <class T>
  std::vector<T> values(const std::string& name, std::vector<std::int64_t>& shape) const {
    const Handle dataset(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), H5Dclose,
                         describe(name));
    shape = shape_of(dataset, name);
    std::vector<T> result(
        std::reduce(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
    check(H5Dread(dataset.get(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, result.data()),
          name);
    return result;
  }

  std::map<std::string, NamedArray> arrays(const std::string& group_name) const {
    const Handle group(H5Gopen2(file_.get(), group_name.c_str(), H5P_DEFAULT), H5Gclose,
                       describe(group_name));
    H5G_info_t info{};
    check(H5Gget_info(group.get(), &info), group_name);
    std::map<std::string, NamedArray> result;
    for (hsize_t index = 0; index < info.nlinks; ++index) {
      const std::string name = link_name(group, index);
      NamedArray& array = result[name];
      array.values = values<float>(fmt::format("{}/{}", group_name, name), array.shape);
    }
    return result;
  }

 private:
  std::string describe(const std::string& name) const { return fmt::format("{}: {}", path_, name); }

  void check(herr_t status, const std::string& name) const {
    require(status >= 0, "cannot read {}", describe(name));
  }

  Handle open_attribute(const char* name) const {
    return {H5Aopen(file_.get(), name, H5P_DEFAULT), H5Aclose, describe(name)};
  }

  std::vector<std::int64_t> shape_of(const Handle& dataset, const std::string& name) const {
    const Handle space(H5Dget_space(dataset.get()), H5Sclose, describe(name));
    std::vector<hsize_t> extents(H5Sget_simple_extent_ndims(space.get()));
    H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
    return {extents.begin(), extents.end()};
  }

  static std::string link_name(const Handle& group, hsize_t index) {
    const auto read = [&](char* buffer, std::size_t size) {
      return H5Lget_name_by_idx(group.get(), ".", H5_INDEX_NAME, H5_ITER_INC, index, buffer, size,
                                H5P_DEFAULT);
    };
    std::string name(read(nullptr, 0), '\0');
    read(name.data(), name.size() + 1);  // with the closing zero
    return name;
  }

  std::string path_;
  Handle file_;
};

void read_config(const GoldenFile& file, GoldenCase& golden) {
  golden.layers = file.number<std::int64_t>("layers");
  golden.hidden = file.number<std::int64_t>("hidden");
  golden.heads = file.number<std::int64_t>("heads");
  golden.ffn = file.number<std::int64_t>("ffn");
  golden.vocab = file.number<std::int64_t>("vocab");
  golden.positions = file.number<std::int64_t>("positions");
  golden.window = file.number<std::int64_t>("window");
  golden.spans = file.text("spans");
  golden.epsilon = file.number<double>("epsilon");
  golden.attention_scale = file.number<double>("attention_scale");
  golden.tied = file.number<std::int64_t>("tied") != 0;
}

}  // namespace

GoldenCase read_golden(const std::string& file_name) {
  const GoldenFile file(std::string(MASFORMER_SOURCE_DIR "/tests/golden/") + file_name);
  GoldenCase golden;
  read_config(file, golden);
  std::vector<std::int64_t> shape;
  golden.tokens = file.values<std::int32_t>("tokens", shape);
  golden.labels = file.values<std::int32_t>("labels", shape);
  golden.logits = file.values<float>("logits", shape);
  golden.batch = shape.at(0);
  golden.sequence = shape.at(1);
  golden.loss = file.number<double>("loss");
  golden.weights = file.arrays("weights");
  golden.gradients = file.arrays("gradients");
  return golden;
}

}  // namespace masformer::test
