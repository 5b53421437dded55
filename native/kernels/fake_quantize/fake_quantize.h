// Rounding to codes and back for quantization-aware training, and the gradients of that.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

// With v = x / scale; held: where round(v) is beyond lowest - zero ... highest - zero, v is the
// nearer of these.
enum class FakeQuantizeResult : std::uint8_t {
  value,           // out = round(v) * scale
  gradient,        // out = the gradient where v was not held, 0 elsewhere
  scale_gradient,  // the sum of gradient * (round(v) - v), or * v where it was held
  gradients,       // both
};

struct FakeQuantizeOperands {
  const void* x;          // [groups, count]
  const float* scale;     // [groups]
  const float* zero;      // [groups]; null: 0
  const void* gradient;   // like x; null for values
  void* out;              // like x; null for the gradient of the scale alone
  float* scale_gradient;  // [groups]; null where it is not asked for
};

struct FakeQuantizeProblem {
  using Operands = FakeQuantizeOperands;
  FakeQuantizeResult result;
  std::int64_t groups, count;
  float lowest, highest;        // whole numbers
  float gradient_scale = 1.0f;  // factor on the gradient of the scale
  // f32 or bf16 each: of x, of the gradient that comes in, of out.
  DType input = DType::f32, gradient = DType::f32, output = DType::f32;

  bool of_x() const { return result != FakeQuantizeResult::scale_gradient; }
  bool of_scale() const {
    return result == FakeQuantizeResult::scale_gradient || result == FakeQuantizeResult::gradients;
  }
};

using FakeQuantizeKernel = Kernel<FakeQuantizeProblem>;
Selection<FakeQuantizeKernel> select_fake_quantize(const FakeQuantizeProblem& problem, Isa limit);

extern const FakeQuantizeKernel kFakeQuantizeScalar, kFakeQuantizeAvx2, kFakeQuantizeAvx512,
    kFakeQuantizeAvx512VnniBf16;

}  // namespace bookend
