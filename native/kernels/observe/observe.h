// What calibration wants to know about an activation: how its numbers are distributed, and the
// first two moments of every channel.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct ObserveOperands {
  const void* x;            // [rows, channels]
  std::int32_t* histogram;  // [kObserveBins]: numbers by the top 14 bits of their bf16 patterns
  float* range;             // [2]: the least and the largest number; NaNs are passed over
  float* sums;              // [channels]: sum over rows
  float* squares;           // [channels]: sum of squares over rows
};

// A bin is a sign, 8 bits of exponent and 5 of mantissa. f32 is rounded to bf16 first, to nearest
// even.
constexpr std::int64_t kObserveBins = 1 << 14;

struct ObserveProblem {
  using Operands = ObserveOperands;
  std::int64_t rows, channels;  // below 2^31 numbers in all
  DType input = DType::f32;     // f32 or bf16
};

using ObserveKernel = Kernel<ObserveProblem>;
Selection<ObserveKernel> select_observe(const ObserveProblem& problem, Isa limit);

}  // namespace bookend
