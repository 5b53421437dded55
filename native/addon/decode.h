// From JavaScript descriptions to kernels and instructions: one small function per op.
#pragma once

#include <string>

#include "addon/errors.h"
#include "addon/fields.h"
#include "executor/instruction.h"
#include "kernels/conv2d/conv2d.h"

namespace bookend {

// Decodes the instruction by its field `op`. Every extent, type and bound is checked here, so a
// kernel never meets a problem that leads it out of its operands.
Instruction decode_instruction(const Fields& fields, const DecodeContext& context);

Instruction decode_conv2d(const Fields& fields, const DecodeContext& context);
Instruction decode_attention(const Fields& fields, const DecodeContext& context);
Instruction decode_group_norm(const Fields& fields, const DecodeContext& context);
Instruction decode_layer_norm(const Fields& fields, const DecodeContext& context);
Instruction decode_unary(const Fields& fields, const DecodeContext& context);
Instruction decode_binary(const Fields& fields, const DecodeContext& context);
Instruction decode_geglu(const Fields& fields, const DecodeContext& context);
Instruction decode_softmax(const Fields& fields, const DecodeContext& context);
Instruction decode_pool2d(const Fields& fields, const DecodeContext& context);
Instruction decode_sqrt_trace(const Fields& fields, const DecodeContext& context);
Instruction decode_copy(const Fields& fields, const DecodeContext& context);
Instruction decode_embedding(const Fields& fields, const DecodeContext& context);
Instruction decode_timestep_embedding(const Fields& fields, const DecodeContext& context);
Instruction decode_fake_quantize(const Fields& fields, const DecodeContext& context);
Instruction decode_layer_norm_gradient(const Fields& fields, const DecodeContext& context);
Instruction decode_group_norm_gradient(const Fields& fields, const DecodeContext& context);
Instruction decode_attention_gradient(const Fields& fields, const DecodeContext& context);
Instruction decode_sum(const Fields& fields, const DecodeContext& context);
Instruction decode_square_sum(const Fields& fields, const DecodeContext& context);
Instruction decode_accumulate(const Fields& fields, const DecodeContext& context);
Instruction decode_adamw(const Fields& fields, const DecodeContext& context);
Instruction decode_observe(const Fields& fields, const DecodeContext& context);

// How a result becomes codes: code = y / scale + zero, rounded and saturated.
struct ResultQuantization {
  float scale, zero;
};

// The fields quantizeScale and quantizeZero of a u8 `output`; other results have scale 1, zero 0.
ResultQuantization read_quantization(const Fields& fields, DType output);

// A convolution's kernel and the layout it packs weights in, which is decided before any weight is
// there.
struct PackingPlan {
  Conv2dProblem problem;
  const Conv2dKernel* kernel;
  std::string format;
  std::size_t packed_bytes;
};

PackingPlan plan_packing(const Fields& fields, Isa limit);

// The kernel of a Selection, or the error 'unsupported' with its reason.
template <class K>
const K* chosen(const Fields& fields, const Selection<K>& selection) {
  if (selection.kernel == nullptr) {
    fail(fields.env(), fields.what() + " has no kernel: " + selection.reason + ".", "unsupported");
  }
  return selection.kernel;
}

}  // namespace bookend
