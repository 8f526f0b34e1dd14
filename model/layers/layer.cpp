#include "model/layers/layer.h"

#include <utility>

namespace masformer {

BufferId BufferRegistry::add(std::string name, Shape shape, Pass first_use, Pass last_use) {
  all_->push_back(
      {std::move(name), shape, dtype_, {layer_, first_use}, {layer_, last_use}, layer_});
  return all_->size() - 1;
}

BufferId BufferRegistry::add_fp32(std::string name, Shape shape, Pass first_use, Pass last_use) {
  const BufferId id = add(std::move(name), shape, first_use, last_use);
  all_->back().dtype = DType::f32;
  return id;
}

void keep_larger(MessageSizes& most, const MessageSizes& other) {
  for (const auto& [bytes, count] : other) most[bytes] = std::max(most[bytes], count);
}

}  // namespace masformer
