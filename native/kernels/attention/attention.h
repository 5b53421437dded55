// softmax(scale * Q K^T) V with online softmax: no queries x keys matrix is ever stored.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

// What the products of queries and keys are computed in. int8: both are quantized on the fly.
enum class AttentionScores : std::uint8_t { floats, int8 };

struct AttentionOperands {
  const void* q;  // [batch, queries, heads * head_dim], rows q_stride elements apart
  const void* k;  // [batch, keys, heads * head_dim], rows k_stride elements apart
  const void* v;  // [batch, keys, heads * head_dim], rows v_stride elements apart
  void* out;      // [batch, queries, heads * head_dim], dense
};

struct AttentionProblem {
  using Operands = AttentionOperands;
  std::int64_t batch, heads, queries, keys, head_dim;
  std::int64_t q_stride, k_stride, v_stride;  // elements from one token's row to the next
  float scale;
  bool causal = false;
  DType type = DType::f32;    // of q, k and v: f32 or bf16
  DType output = DType::f32;  // f32, bf16 or u8
  float quantize_scale = 1.0f, quantize_zero = 0.0f;  // of a u8 output: code = y / scale + zero
  AttentionScores scores = AttentionScores::floats;
};

using AttentionKernel = Kernel<AttentionProblem>;
Selection<AttentionKernel> select_attention(const AttentionProblem& problem, Isa limit);

// Rows of the table, one per instruction set; machines with AMX run the last.
extern const AttentionKernel kAttentionScalar, kAttentionAvx2;
extern const AttentionKernel kAttentionAvx512, kAttentionAvx512VnniBf16;
extern const AttentionKernel kAttentionInt8Avx512Vnni, kAttentionInt8Avx512VnniBf16;

}  // namespace bookend
