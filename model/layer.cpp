#include "model/layer.h"

#include <utility>

namespace masformer {

BufferId BufferDeclarer::add(std::string name, Shape shape, Pass born, Pass last) {
  all_->push_back({std::move(name), shape, dtype_, {layer_, born}, {layer_, last}, layer_});
  return all_->size() - 1;
}

BufferId BufferDeclarer::add_fp32(std::string name, Shape shape, Pass born, Pass last) {
  const BufferId id = add(std::move(name), shape, born, last);
  all_->back().dtype = DType::f32;
  return id;
}

}  // namespace masformer
