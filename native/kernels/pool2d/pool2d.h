// The largest or the mean value of each channel in windows that slide over an image.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

enum class Pooling : std::uint8_t { max, average };

struct Pool2dOperands {
  const void* x;  // [batch, height, width, channels]
  void* out;      // [batch, out_height, out_width, channels]
};

// Pixels of the padding count for neither kind; every window must hold one of the image.
struct Pool2dProblem {
  using Operands = Pool2dOperands;
  Pooling kind;
  std::int64_t batch, height, width, channels;
  std::int64_t out_height, out_width;
  int kernel_height, kernel_width;
  int stride;
  int pad_top, pad_left;
  DType type = DType::f32;  // of both operands: f32 or bf16
};

using Pool2dKernel = Kernel<Pool2dProblem>;
Selection<Pool2dKernel> select_pool2d(const Pool2dProblem& problem, Isa limit);

// Rows of the table, one per instruction set; machines with AMX run the last.
extern const Pool2dKernel kPool2dScalar, kPool2dAvx2, kPool2dAvx512, kPool2dAvx512VnniBf16;

}  // namespace bookend
