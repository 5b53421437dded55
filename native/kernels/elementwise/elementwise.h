// One input or two, element by element, with broadcasting of either input.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

enum class UnaryOp : std::uint8_t {
  affine,  // x * scale + offset, u8 being plain numbers; with scale 1, offset 0 this is a cast
  silu,
  gelu,
  gelu_tanh,
  quick_gelu,
  relu,
  sigmoid,
  tanh,
  exp,
  erf,
};

struct UnaryOperands {
  const void* x;
  void* out;
};

struct UnaryProblem {
  using Operands = UnaryOperands;
  UnaryOp op;
  std::int64_t count;
  float scale = 1.0f, offset = 0.0f;
  DType input = DType::f32, output = DType::f32;  // f32, bf16, f16 (casts), s32 in, u8 (affine)
};

using UnaryKernel = Kernel<UnaryProblem>;
Selection<UnaryKernel> select_unary(const UnaryProblem& problem, Isa limit);

enum class BinaryOp : std::uint8_t { add, sub, mul, div };

struct BinaryOperands {
  const void* a;
  const void* b;
  void* out;
};

// Output of up to four axes (missing outer axes have extent 1), row-major and dense. A stride is in
// elements; 0 repeats the operand along that axis.
struct BinaryProblem {
  using Operands = BinaryOperands;
  BinaryOp op;
  std::int64_t extent[4];
  std::int64_t a_stride[4], b_stride[4];
  DType a_type = DType::f32, b_type = DType::f32, output = DType::f32;
};

using BinaryKernel = Kernel<BinaryProblem>;
Selection<BinaryKernel> select_binary(const BinaryProblem& problem, Isa limit);

// GEGLU unfused: out[..., c] = x[..., c] * gelu(x[..., columns + c]).
struct GegluOperands {
  const void* x;  // [rows, 2 * columns]
  void* out;      // [rows, columns]
};

struct GegluProblem {
  using Operands = GegluOperands;
  std::int64_t rows, columns;
  DType type = DType::f32;
};

using GegluKernel = Kernel<GegluProblem>;
Selection<GegluKernel> select_geglu(const GegluProblem& problem, Isa limit);

// Softmax over the last axis.
struct SoftmaxOperands {
  const void* x;
  void* out;
};

struct SoftmaxProblem {
  using Operands = SoftmaxOperands;
  std::int64_t rows, columns;
  DType type = DType::f32;
};

using SoftmaxKernel = Kernel<SoftmaxProblem>;
Selection<SoftmaxKernel> select_softmax(const SoftmaxProblem& problem, Isa limit);

// Rows of the tables, one per instruction set; machines with AMX run the last.
extern const UnaryKernel kUnaryScalar, kUnaryAvx2, kUnaryAvx512, kUnaryAvx512VnniBf16;
extern const BinaryKernel kBinaryScalar, kBinaryAvx2, kBinaryAvx512, kBinaryAvx512VnniBf16;
extern const GegluKernel kGegluScalar, kGegluAvx2, kGegluAvx512, kGegluAvx512VnniBf16;
extern const SoftmaxKernel kSoftmaxScalar, kSoftmaxAvx2, kSoftmaxAvx512, kSoftmaxAvx512VnniBf16;

}  // namespace bookend
