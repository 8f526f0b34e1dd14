// The CUDA backend's ops, in NAME_cuda.cu: the contract of each is in its own header, and its
// operands are checked before they come here. They are issued to the stream's queue and return.
#pragma once

#include "runtime/backend.h"

namespace masformer::cuda {

decltype(masformer::supports_matmul) supports_matmul;
decltype(masformer::linear) linear;
decltype(masformer::linear_backward_input) linear_backward_input;
decltype(masformer::linear_backward_weight) linear_backward_weight;
decltype(masformer::linear_gelu) linear_gelu;
decltype(masformer::linear_backward_input_gelu) linear_backward_input_gelu;
decltype(masformer::attention) attention;
decltype(masformer::attention_backward) attention_backward;
decltype(masformer::gelu) gelu;
decltype(masformer::gelu_backward) gelu_backward;
decltype(masformer::layer_norm) layer_norm;
decltype(masformer::layer_norm_backward) layer_norm_backward;
decltype(masformer::add_residual) add_residual;
decltype(masformer::add_sum_of_squares) add_sum_of_squares;
decltype(masformer::clip_factor) clip_factor;
decltype(masformer::fill_zero) fill_zero;
decltype(masformer::copy) copy;
decltype(masformer::embedding) embedding;
decltype(masformer::embedding_backward) embedding_backward;
decltype(masformer::softmax_max) softmax_max;
decltype(masformer::softmax_sum) softmax_sum;
decltype(masformer::cross_entropy) cross_entropy;
decltype(masformer::cross_entropy_backward) cross_entropy_backward;
decltype(masformer::adamw) adamw;

}  // namespace masformer::cuda
