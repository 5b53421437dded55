// GroupNorm over channels-last activations, with SiLU where the graph has one behind it, storing
// floats or the codes of quantized numbers.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

// What a task is. `rows`: a chunk of rows, with all of their channels. The other two are there to
// be compared with it: a group of channels, or a few neighbouring channels, over all rows. All three
// give the same bits.
enum class GroupNormSplit { rows, groups, channels };

struct GroupNormOperands {
  const void* x;       // [batch, rows, channels]
  const void* skip;    // [batch, rows, skip_channels], or nullptr: groups run over [x, skip]
  const float* gamma;  // [channels + skip_channels]
  const float* beta;   // [channels + skip_channels]
  void* out;           // [batch, rows, channels + skip_channels]
};

struct GroupNormProblem {
  using Operands = GroupNormOperands;
  std::int64_t batch, rows, channels, skip_channels;
  std::int64_t groups;
  float epsilon;
  DType input = DType::f32, output = DType::f32;  // f32 or bf16; the output also u8
  Activation activation = Activation::none;  // none or silu
  GroupNormSplit split = GroupNormSplit::rows;
  float quantize_scale = 1.0f, quantize_zero = 0.0f;  // of a u8 output: code = y / scale + zero
};

using GroupNormKernel = Kernel<GroupNormProblem>;
Selection<GroupNormKernel> select_group_norm(const GroupNormProblem& problem, Isa limit);

// Rows of the table, one per instruction set; machines with AMX run the last.
extern const GroupNormKernel kGroupNormScalar, kGroupNormAvx2;
extern const GroupNormKernel kGroupNormAvx512, kGroupNormAvx512VnniBf16;

}  // namespace bookend
