#include "kernels/conv2d/conv2d.h"

namespace bookend {

#if defined(__x86_64__)
extern const Conv2dKernel kConv2dAmxBf16;
extern const Conv2dKernel kConv2dAvx512NativeBf16, kConv2dAvx512F32, kConv2dAvx512Bf16;
extern const Conv2dKernel kConv2dAvx2F32, kConv2dAvx2Bf16;
#endif
extern const Conv2dKernel kConv2dScalarF32, kConv2dScalarBf16, kConv2dAmxEmulatedBf16;

namespace {

const Conv2dKernel* const kTable[] = {
    &kConv2dAmxEmulatedBf16,
#if defined(__x86_64__)
    &kConv2dAvx512NativeBf16,
    &kConv2dAvx512F32,
    &kConv2dAvx512Bf16,
    &kConv2dAvx2F32,
    &kConv2dAvx2Bf16,
#endif
    &kConv2dScalarF32,
    &kConv2dScalarBf16,
};

}  // namespace

const char* refuse_conv2d(const Conv2dProblem& problem) {
  if (problem.input != DType::f32 && problem.input != DType::bf16) {
    return "convolution reads f32 or bf16";
  }
  if (problem.output != DType::f32 && problem.output != DType::bf16) {
    return "convolution writes f32 or bf16";
  }
  if (problem.rows() < 1 || problem.channels < 1 || problem.skip_channels < 0 ||
      problem.out_channels < 1) {
    return "convolution needs at least one row, channel and output channel";
  }
  if (problem.kernel_height < 1 || problem.kernel_width < 1 || problem.stride < 1) {
    return "convolution needs a kernel and a stride of at least 1";
  }
  if (problem.upsample != 1 && problem.upsample != 2) {
    return "convolution upsamples by 1 or 2";
  }
  if (problem.activation == Activation::geglu && problem.out_channels % 2 != 0) {
    return "geglu needs an even number of output channels";
  }
  return nullptr;
}

Selection<Conv2dKernel> select_conv2d(const Conv2dProblem& problem, Isa limit) {
#if defined(__x86_64__)
  // The table's amx row is the emulation, which packs alike; real tiles take its place.
  if (limit == Isa::amx && isa_missing(Isa::amx) == nullptr &&
      kConv2dAmxBf16.refuse(problem) == nullptr) {
    return {&kConv2dAmxBf16, nullptr};
  }
#endif
  return select(kTable, sizeof kTable / sizeof kTable[0], problem, limit);
}

}  // namespace bookend
