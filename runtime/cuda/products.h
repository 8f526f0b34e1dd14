// Matrix products by cuBLASLt on one queue. It is asked for a kernel once for each kind of product,
// and the same product on the same device gives the same bits.
#pragma once

#include <map>

#include "runtime/cuda/product_plan.h"

namespace masformer::cuda {

class Products final : public LibraryState {
 public:
  explicit Products(Queue& queue);
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;
  ~Products() override;

  // Of factors of `dtype`.
  bool has(DType dtype) const;
  // Throws Error that names the shapes where there is no kernel for the product.
  void multiply(const Product& product);
  // Returns whether there is one, and issues nothing where not: a bias or an epilogue doesn't go
  // with every shape, dtype and address.
  bool try_multiply(const Product& product);

 private:
  ProductPlan& plan(const Product& product);

  Queue& queue_;
  cublasLtHandle_t library_ = nullptr;
  std::map<ProductKey, ProductPlan> plans_;
};

inline Products& products_of(const Stream& stream) {
  return queue_of(stream).library<Products>();
}

}  // namespace masformer::cuda
