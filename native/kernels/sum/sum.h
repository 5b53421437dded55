// Sums over one axis, whatever lies around it.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct SumOperands {
  const void* x;  // [outer, count, inner]
  void* out;      // [outer, inner]
};

struct SumProblem {
  using Operands = SumOperands;
  std::int64_t outer, count, inner;
  DType input = DType::f32, output = DType::f32;  // f32 or bf16
};

using SumKernel = Kernel<SumProblem>;
Selection<SumKernel> select_sum(const SumProblem& problem, Isa limit);

}  // namespace bookend
