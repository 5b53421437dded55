// Table look-ups: token embeddings, and the sinusoidal embedding of timesteps.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct EmbeddingOperands {
  const std::int32_t* ids;  // [count]; an id outside the table reads row 0 (callers check first)
  const void* table;        // [rows, width]
  void* out;                // [count, width]
};

struct EmbeddingProblem {
  using Operands = EmbeddingOperands;
  std::int64_t count, rows, width;
  DType table_type = DType::f32, output = DType::f32;
};

using EmbeddingKernel = Kernel<EmbeddingProblem>;
Selection<EmbeddingKernel> select_embedding(const EmbeddingProblem& problem, Isa limit);

// Transformer positions of "Attention Is All You Need" (section 3.5), as DDPM uses them for time:
// half the columns sine, half cosine, frequencies max_period^(-i / (dim / 2 - shift)).
struct TimestepEmbeddingOperands {
  const float* timesteps;  // [count]
  float* out;              // [count, dim]
};

struct TimestepEmbeddingProblem {
  using Operands = TimestepEmbeddingOperands;
  std::int64_t count, dim;
  bool cosine_first;
  float frequency_shift;
  float max_period;
};

using TimestepEmbeddingKernel = Kernel<TimestepEmbeddingProblem>;
Selection<TimestepEmbeddingKernel> select_timestep_embedding(
    const TimestepEmbeddingProblem& problem, Isa limit);

}  // namespace bookend
