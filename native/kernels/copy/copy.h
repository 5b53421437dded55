// Strided copy: slices, concatenations, permutations, padding-free views and nearest upsampling by
// whole factors are all this one kernel (a repeated source axis has stride 0).
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct CopyOperands {
  const void* x;
  void* out;
};

// out[out_offset + sum(i * out_stride)] = x[x_offset + sum(i * x_stride)] for every index i below
// `extent`; strides and offsets in elements; unused outer axes have extent 1.
struct CopyProblem {
  using Operands = CopyOperands;
  static constexpr int kAxes = 6;
  std::int64_t extent[kAxes];
  std::int64_t x_stride[kAxes], out_stride[kAxes];
  std::int64_t x_offset = 0, out_offset = 0;
  DType type = DType::f32;
};

using CopyKernel = Kernel<CopyProblem>;
Selection<CopyKernel> select_copy(const CopyProblem& problem, Isa limit);

}  // namespace bookend
