// LayerNorm over the last axis, storing floats or the codes of quantized numbers.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct LayerNormOperands {
  const void* x;       // [rows, channels]
  const float* gamma;  // [channels]
  const float* beta;   // [channels]
  void* out;           // [rows, channels]
};

struct LayerNormProblem {
  using Operands = LayerNormOperands;
  std::int64_t rows, channels;
  float epsilon;
  DType input = DType::f32, output = DType::f32;  // f32 or bf16; the output also u8
  float quantize_scale = 1.0f, quantize_zero = 0.0f;  // of a u8 output: code = y / scale + zero
};

using LayerNormKernel = Kernel<LayerNormProblem>;
Selection<LayerNormKernel> select_layer_norm(const LayerNormProblem& problem, Isa limit);

// Rows of the table, one per instruction set; machines with AMX run the last.
extern const LayerNormKernel kLayerNormScalar, kLayerNormAvx2;
extern const LayerNormKernel kLayerNormAvx512, kLayerNormAvx512VnniBf16;

}  // namespace bookend
