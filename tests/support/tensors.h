// Tensors for tests: filled with numbers that depend only on a seed, read back as doubles, and
// compared by norm with references computed in double.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "runtime/arena.h"
#include "runtime/ops/elementwise.h"
#include "runtime/random.h"
#include "runtime/tensor.h"

namespace masformer::test {

using Numbers = std::vector<double>;  // row-major

// The device to test ops on: the one that MASFORMER_TEST_DEVICE names, or the CPU.
inline Device device() {
  static const char* const name = std::getenv("MASFORMER_TEST_DEVICE");
  return name != nullptr ? parse_enum<Device>(name) : Device::cpu;
}

// A tensor that owns its memory. It converts to the view that ops expect.
class OwnedTensor {
 public:
  explicit OwnedTensor(const Shape& shape, DType dtype = DType::f32)
      : arena_(device(), Arena::footprint(shape, dtype)), view_(arena_.take(shape, dtype)) {}

  operator Tensor() const { return view_; }  // NOLINT: usable wherever a Tensor is expected
  const Tensor* operator->() const { return &view_; }

 private:
  Arena arena_;
  Tensor view_;
};

// The memory from a tensor's first element to its last, including gaps between rows, as one row.
inline Tensor extent(const Tensor& tensor) {
  std::int64_t last = 0;
  for (int dim = 0; dim < tensor.dims(); ++dim) last += (tensor.dim(dim) - 1) * tensor.stride(dim);
  return Tensor(tensor.raw(), {tensor.elements() == 0 ? 0 : last + 1}, tensor.dtype(),
                tensor.device());
}

// Waits for all work issued to any stream of the device, as an allocation there does.
inline void wait_for_device() {
  const Arena waits(device(), Arena::alignment);
}

// A copy of a device tensor in host memory; the destructor copies it back. Work that the test
// issued to its own streams before is done before the copy, and work that it issues afterwards sees
// the copy.
class HostCopy {
 public:
  explicit HostCopy(const Tensor& tensor)
      : extent_(extent(tensor)), bytes_(static_cast<std::size_t>(extent_.bytes())) {
    if (extent_.device() == Device::cpu) return;
    wait_for_device();
    copy(stream(), extent_, on_host());
  }
  HostCopy(const HostCopy&) = delete;
  HostCopy& operator=(const HostCopy&) = delete;
  ~HostCopy() {
    if (extent_.device() == Device::cpu) return;
    copy(stream(), on_host(), extent_);
    stream().synchronize();
  }

  void* raw() { return extent_.device() == Device::cpu ? extent_.raw() : bytes_.data(); }

 private:
  static const Stream& stream() {
    static const Stream only(device());
    return only;
  }
  Tensor on_host() { return Tensor(bytes_.data(), extent_.shape(), extent_.dtype(), Device::cpu); }

  Tensor extent_;
  std::vector<char> bytes_;
};

// Calls visit(float&, row-major index) for each element, for any strides and device.
template <class T = float, class Visit>
void for_each_element(const Tensor& tensor, const Visit& visit) {
  HostCopy copied(tensor);
  T* const data = static_cast<T*>(copied.raw());
  for (std::int64_t i = 0; i < tensor.elements(); ++i) {
    std::int64_t rest = i, offset = 0;
    for (int dim = tensor.dims() - 1; dim >= 0; --dim) {
      offset += rest % tensor.dim(dim) * tensor.stride(dim);
      rest /= tensor.dim(dim);
    }
    visit(data[offset], i);
  }
}

// The elements of a tensor of fp32 or bf16.
inline Numbers values(const Tensor& tensor) {
  Numbers result(static_cast<std::size_t>(tensor.elements()));
  const auto read = [&](const auto& x, std::int64_t i) {
    result[static_cast<std::size_t>(i)] = double(float(x));
  };
  if (tensor.dtype() == DType::bf16) {
    for_each_element<bfloat16>(tensor, read);
  } else {
    for_each_element<float>(tensor, read);
  }
  return result;
}

inline void set(const Tensor& tensor, const std::function<double(std::int64_t)>& value) {
  const auto write = [&]<class T>(T& x, std::int64_t i) { x = T(static_cast<float>(value(i))); };
  if (tensor.dtype() == DType::bf16) {
    for_each_element<bfloat16>(tensor, write);
  } else {
    for_each_element<float>(tensor, write);
  }
}

inline void set_normals(const Tensor& tensor, std::uint64_t seed, double deviation = 1,
                        double mean = 0) {
  set(tensor, [&](std::int64_t i) {
    return mean + deviation * normal(seed, static_cast<std::uint64_t>(i));
  });
}

inline OwnedTensor normals(const Shape& shape, std::uint64_t seed, double deviation = 1,
                           double mean = 0) {
  OwnedTensor tensor(shape);
  set_normals(tensor, seed, deviation, mean);
  return tensor;
}

// Fills a tensor with NaN, to show what an op does not write, or reads although it must not.
inline OwnedTensor poisoned(const Shape& shape, DType dtype = DType::f32) {
  OwnedTensor tensor(shape, dtype);
  set(tensor, [](std::int64_t) { return std::numeric_limits<double>::quiet_NaN(); });
  return tensor;
}

inline OwnedTensor filled(const Shape& shape, const Numbers& numbers) {
  OwnedTensor tensor(shape);
  set(tensor, [&](std::int64_t i) { return numbers[static_cast<std::size_t>(i)]; });
  return tensor;
}

inline OwnedTensor integers(std::int64_t count,
                            const std::function<std::int64_t(std::int64_t)>& value) {
  OwnedTensor tensor({count}, DType::i32);
  for_each_element<std::int32_t>(
      tensor, [&](std::int32_t& x, std::int64_t i) { x = static_cast<std::int32_t>(value(i)); });
  return tensor;
}

// The norm of the difference divided by the norm of `expected`, or the former alone if the latter
// is 0. NaN if any number is.
inline double difference(const Numbers& actual, const Numbers& expected) {
  if (actual.size() != expected.size()) return std::numeric_limits<double>::quiet_NaN();
  double apart = 0, norm = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    apart += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(norm > 0 ? apart / norm : apart);
}

inline double difference(const Tensor& actual, const Numbers& expected) {
  return difference(values(actual), expected);
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  HostCopy copy_of_a(a), copy_of_b(b);
  return a.elements() == 0 ||
         std::memcmp(copy_of_a.raw(), copy_of_b.raw(), static_cast<std::size_t>(a.bytes())) == 0;
}

// The number of elements that are NaN.
inline std::int64_t poison_left(const Tensor& tensor) {
  std::int64_t count = 0;
  for_each_element(tensor, [&](float& x, std::int64_t) { count += std::isnan(x) ? 1 : 0; });
  return count;
}

inline double dot(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

inline Numbers sum(Numbers a, const Numbers& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// The gradient of `function` at `point` by central differences.
inline Numbers numeric_gradient(const std::function<double(const Numbers&)>& function,
                                Numbers point) {
  constexpr double step = 1e-5;
  Numbers gradient(point.size());
  for (std::size_t i = 0; i < point.size(); ++i) {
    const double middle = point[i];
    point[i] = middle + step;
    const double above = function(point);
    point[i] = middle - step;
    gradient[i] = (above - function(point)) / (2 * step);
    point[i] = middle;
  }
  return gradient;
}

}  // namespace masformer::test
