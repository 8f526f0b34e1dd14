// Combines many tensors into one launch. A launch costs the same for many small tensors as for one,
// and a model has hundreds of parameters.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>

#include "runtime/cuda/launch.h"

namespace masformer::cuda {

// Up to `most` tensors, each cut into shares of `share` elements; its last share may be shorter.
// Shares are numbered over all tensors, one for each block. `Entry` is what the kernel knows about
// a tensor.
template <class Entry, int most, std::int64_t share>
class TensorBatch {
 public:
  struct Share {
    const Entry& tensor;
    std::int64_t begin, end;  // its elements
  };

  void add(const Entry& tensor, std::int64_t elements) {
    tensors_[count_] = tensor;
    elements_[count_] = elements;
    first_share_[count_] = shares_;
    shares_ += static_cast<int>(ceil_div(elements, share));
    ++count_;
  }
  bool full() const { return count_ == most; }
  __host__ __device__ int shares() const { return shares_; }

  __device__ Share operator[](int number) const {
    int i = 0;
    while (i + 1 < count_ && first_share_[i + 1] <= number) ++i;
    const std::int64_t begin = (number - first_share_[i]) * share;
    return {tensors_[i], begin, min(elements_[i], begin + share)};
  }

 private:
  int count_ = 0, shares_ = 0;
  int first_share_[most];
  std::int64_t elements_[most];
  Entry tensors_[most];
};

// Calls add(batch, item) for every item, and start(batch) for each batch when it is full or the
// items end. A batch may be empty if there are no items.
template <class Batch, class Items, class Add, class Start>
void in_batches(const Items& items, const Add& add, const Start& start) {
  static_assert(sizeof(Batch) <= 3840, "a batch is a kernel parameter; those have 4 KB in all");
  Batch batch;
  for (const auto& item : items) {
    if (batch.full()) {
      start(batch);
      batch = {};
    }
    add(batch, item);
  }
  start(batch);
}

}  // namespace masformer::cuda
