// Gradients of LayerNorm and GroupNorm. With x^ the normalised x and g = dy * gamma,
//   dx = (g - mean(g) - x^ * mean(g * x^)) / sqrt(variance + epsilon)
// (arXiv 1502.03167, section 3); mean and variance are computed again from x.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct NormGradientOperands {
  const void* x;         // what was normalised
  const float* gamma;    // [channels]
  const void* gradient;  // dy, like x
  void* out;             // dx, like x
  float* gamma_gradient;  // [channels]
  float* beta_gradient;   // [channels]
};

// Of x [rows, channels], each row by itself.
struct LayerNormGradientProblem {
  using Operands = NormGradientOperands;
  std::int64_t rows, channels;
  float epsilon;
  DType type = DType::f32;  // of x, gradient and out: f32 or bf16
};

// Of x [batch, rows, channels], each image's groups of neighbouring channels by themselves.
struct GroupNormGradientProblem {
  using Operands = NormGradientOperands;
  std::int64_t batch, rows, channels, groups;
  float epsilon;
  DType type = DType::f32;  // of x, gradient and out: f32 or bf16
};

using LayerNormGradientKernel = Kernel<LayerNormGradientProblem>;
using GroupNormGradientKernel = Kernel<GroupNormGradientProblem>;
Selection<LayerNormGradientKernel> select_layer_norm_gradient(
    const LayerNormGradientProblem& problem, Isa limit);
Selection<GroupNormGradientKernel> select_group_norm_gradient(
    const GroupNormGradientProblem& problem, Isa limit);

// Rows of the tables, one per instruction set; machines with AMX run the last.
extern const LayerNormGradientKernel kLayerNormGradientScalar, kLayerNormGradientAvx2;
extern const LayerNormGradientKernel kLayerNormGradientAvx512, kLayerNormGradientAvx512VnniBf16;
extern const GroupNormGradientKernel kGroupNormGradientScalar, kGroupNormGradientAvx2;
extern const GroupNormGradientKernel kGroupNormGradientAvx512, kGroupNormGradientAvx512VnniBf16;

}  // namespace bookend
