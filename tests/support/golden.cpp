#include "tests/support/golden.h"

#include <cstdlib>
#include <functional>
#include <numeric>
#include <utility>

#include "runtime/error.h"
#include "runtime/io/hdf5_handle.h"

namespace masformer::test {
namespace {

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
        file_(opened(io::Hdf5File(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)), "/")) {}

  template <class T>
  T number(const char* name) const {
    const io::Hdf5Attribute attribute = open_attribute(name);
    T value{};
    check(H5Aread(attribute.id(), memory_type<T>(), &value), name);
    return value;
  }

  template <class T>
  std::optional<T> number_if_any(const char* name) const {
    const htri_t exists = H5Aexists(file_.id(), name);
    check(exists < 0 ? -1 : 0, name);
    return exists > 0 ? std::optional(number<T>(name)) : std::nullopt;
  }

  // A string of fixed length, which is how the generator writes it.
  std::string text(const char* name) const {
    const io::Hdf5Attribute attribute = open_attribute(name);
    const auto type = opened(io::Hdf5Type(H5Aget_type(attribute.id())), name);
    std::string value(H5Tget_size(type.id()), '\0');
    check(H5Aread(attribute.id(), type.id(), value.data()), name);
    return value;
  }

  template <class T>
  std::vector<T> values(const std::string& name, std::vector<std::int64_t>& shape) const {
    const auto dataset =
        opened(io::Hdf5Dataset(H5Dopen2(file_.id(), name.c_str(), H5P_DEFAULT)), name);
    shape = shape_of(dataset, name);
    std::vector<T> result(
        std::reduce(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
    check(H5Dread(dataset.id(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, result.data()),
          name);
    return result;
  }

  std::map<std::string, NamedArray> arrays(const std::string& group_name) const {
    const auto group =
        opened(io::Hdf5Group(H5Gopen2(file_.id(), group_name.c_str(), H5P_DEFAULT)), group_name);
    H5G_info_t info{};
    check(H5Gget_info(group.id(), &info), group_name);
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

  template <class Handle>
  Handle opened(Handle handle, const std::string& name) const {
    require(bool(handle), "cannot open {}", describe(name));
    return handle;
  }

  io::Hdf5Attribute open_attribute(const char* name) const {
    return opened(io::Hdf5Attribute(H5Aopen(file_.id(), name, H5P_DEFAULT)), name);
  }

  std::vector<std::int64_t> shape_of(const io::Hdf5Dataset& dataset,
                                     const std::string& name) const {
    const auto space = opened(io::Hdf5Space(H5Dget_space(dataset.id())), name);
    std::vector<hsize_t> extents(H5Sget_simple_extent_ndims(space.id()));
    H5Sget_simple_extent_dims(space.id(), extents.data(), nullptr);
    return {extents.begin(), extents.end()};
  }

  static std::string link_name(const io::Hdf5Group& group, hsize_t index) {
    const auto read = [&](char* buffer, std::size_t size) {
      return H5Lget_name_by_idx(group.id(), ".", H5_INDEX_NAME, H5_ITER_INC, index, buffer, size,
                                H5P_DEFAULT);
    };
    std::string name(read(nullptr, 0), '\0');
    read(name.data(), name.size() + 1);  // with the closing zero
    return name;
  }

  std::string path_;
  io::Hdf5File file_;
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
  golden.rotary_theta = file.number_if_any<double>("rotary_theta");
  golden.rotary_theta_window = file.number_if_any<double>("rotary_theta_window");
}

}  // namespace

GoldenCase read_golden(const std::string& file_name) {
  const char* const moved = std::getenv("MASFORMER_GOLDEN");
  const std::string folder = moved != nullptr ? moved : MASFORMER_SOURCE_DIR "/tests/golden";
  const GoldenFile file(folder + "/" + file_name);
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
