// Rounding to codes and back for quantization-aware training, and the gradients of that.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

// With v = x / scale; held: where round(v) is beyond lowest - zero ... highest - zero, v is the
// nearer of these.
enum class FakeQuantizeResult : std::uint8_t {
  value,           // round(v) * scale
  gradient,        // the gradient where v was not held, 0 elsewhere
  scale_gradient,  // the sum of gradient * (round(v) - v), or * v where it was held
};

struct FakeQuantizeOperands {
  const void* x;         // [groups, count]
  const float* scale;    // [groups]
  const float* zero;     // [groups]; null: 0
  const void* gradient;  // like x; null for values
  void* out;             // like x; float [groups] for the gradient of the scale
};

struct FakeQuantizeProblem {
  using Operands = FakeQuantizeOperands;
  FakeQuantizeResult result;
  std::int64_t groups, count;
  float lowest, highest;       // whole numbers
  float gradient_scale = 1.0f;  // factor on the gradient of the scale
  DType type = DType::f32;     // of x, gradient and results like x: f32 or bf16
};

using FakeQuantizeKernel = Kernel<FakeQuantizeProblem>;
Selection<FakeQuantizeKernel> select_fake_quantize(const FakeQuantizeProblem& problem, Isa limit);

extern const FakeQuantizeKernel kFakeQuantizeScalar, kFakeQuantizeAvx2, kFakeQuantizeAvx512,
    kFakeQuantizeAvx512VnniBf16;

}  // namespace bookend
