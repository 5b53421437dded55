// Gradients of softmax(scale * Q K^T) V of Q, K and V; no queries x keys matrix is ever stored.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

// All dense, of the problem's type.
struct AttentionGradientOperands {
  const void* q;         // [batch, queries, heads * head_dim]
  const void* k;         // [batch, keys, heads * head_dim]
  const void* v;         // [batch, keys, heads * head_dim]
  const void* output;    // [batch, queries, heads * head_dim]: what attention gave
  const void* gradient;  // [batch, queries, heads * head_dim]: of that output
  void* dq;              // like q
  void* dk;              // like k
  void* dv;              // like v
};

struct AttentionGradientProblem {
  using Operands = AttentionGradientOperands;
  std::int64_t batch, heads, queries, keys, head_dim;
  float scale;
  bool causal = false;      // query n sees keys 0 ... n only
  DType type = DType::f32;  // f32 or bf16
};

using AttentionGradientKernel = Kernel<AttentionGradientProblem>;
Selection<AttentionGradientKernel> select_attention_gradient(
    const AttentionGradientProblem& problem, Isa limit);

// Rows of the table, one per instruction set; machines with AMX run the last.
extern const AttentionGradientKernel kAttentionGradientScalar, kAttentionGradientAvx2;
extern const AttentionGradientKernel kAttentionGradientAvx512, kAttentionGradientAvx512VnniBf16;

}  // namespace bookend
