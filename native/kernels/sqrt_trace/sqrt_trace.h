// The trace of the square root of a product of two covariances, which the Fréchet distance between
// normal distributions asks for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dispatch/kernel.h"

namespace bookend {

struct SqrtTraceOperands {
  const double* a;  // [n, n], symmetric, positive semidefinite up to rounding
  const double* b;  // the same
  double* out;      // the trace, and the rank that `a` was found to have
};

struct SqrtTraceProblem {
  using Operands = SqrtTraceOperands;
  std::int64_t n;
};
constexpr std::size_t kSqrtTraceResults = 2;

using SqrtTraceKernel = Kernel<SqrtTraceProblem>;
Selection<SqrtTraceKernel> select_sqrt_trace(const SqrtTraceProblem& problem, Isa limit);

// Rows of the table; sets between these run the lower one.
extern const SqrtTraceKernel kSqrtTraceScalar, kSqrtTraceAvx2, kSqrtTraceAvx512;

}  // namespace bookend
