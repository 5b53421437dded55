// The pointwise part of attention's gradient: from scores S and gradients dP = dO V^T of the
// probabilities, row by row, P = softmax(S) and dS = P (dP - shift) with shift = sum(dO O)
// (arXiv 2205.14135, appendix B.2).
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct ScoreGradientOperands {
  float* scores;          // [rows, columns]; afterwards undefined
  const float* gradient;  // [rows, columns]
  const float* shift;     // [rows], shift_stride apart
  void* probabilities;    // [rows, columns]
  void* out;              // [rows, columns]: dS
};

struct ScoreGradientProblem {
  using Operands = ScoreGradientOperands;
  std::int64_t rows, columns, shift_stride;
  // Row r sees the first `visible` + r columns, or all if there are fewer; others have P = dS = 0.
  std::int64_t visible;
  DType output = DType::f32;  // of probabilities and out: f32 or bf16
};

using ScoreGradientKernel = Kernel<ScoreGradientProblem>;
Selection<ScoreGradientKernel> select_score_gradient(const ScoreGradientProblem& problem,
                                                     Isa limit);

// Rows of the table, one per instruction set; machines with AMX run the last.
extern const ScoreGradientKernel kScoreGradientScalar, kScoreGradientAvx2;
extern const ScoreGradientKernel kScoreGradientAvx512, kScoreGradientAvx512VnniBf16;

}  // namespace bookend
