#include "kernels/conv2d/conv2d.h"

namespace bookend {

#if defined(__x86_64__)
extern const Conv2dKernel kConv2dAmxBf16, kConv2dAmxU8;
extern const Conv2dKernel kConv2dAvx512NativeBf16, kConv2dAvx512NativeU8, kConv2dAvx512VnniU8;
extern const Conv2dKernel kConv2dAvx512F32, kConv2dAvx512Bf16, kConv2dAvx512U8;
extern const Conv2dKernel kConv2dAvx2VnniU8;
extern const Conv2dKernel kConv2dAvx2F32, kConv2dAvx2Bf16, kConv2dAvx2U8;
#endif
extern const Conv2dKernel kConv2dScalarF32, kConv2dScalarBf16, kConv2dScalarU8;
extern const Conv2dKernel kConv2dAmxEmulatedBf16, kConv2dAmxEmulatedU8;

namespace {

const Conv2dKernel* const kTable[] = {
    &kConv2dAmxEmulatedBf16,
    &kConv2dAmxEmulatedU8,
#if defined(__x86_64__)
    &kConv2dAvx512NativeBf16,
    &kConv2dAvx512NativeU8,
    &kConv2dAvx512VnniU8,
    &kConv2dAvx512F32,
    &kConv2dAvx512Bf16,
    &kConv2dAvx512U8,
    &kConv2dAvx2VnniU8,
    &kConv2dAvx2F32,
    &kConv2dAvx2Bf16,
    &kConv2dAvx2U8,
#endif
    &kConv2dScalarF32,
    &kConv2dScalarBf16,
    &kConv2dScalarU8,
};

}  // namespace

const char* refuse_conv2d(const Conv2dProblem& problem) {
  if (problem.input != DType::f32 && problem.input != DType::bf16 && problem.input != DType::u8) {
    return "convolution reads f32, bf16 or u8";
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
  if (problem.insertion < 1 || (problem.insertion > 1 && problem.upsample > 1)) {
    return "convolution inserts zeros or repeats pixels, not both";
  }
  if (problem.weight_form == WeightForm::plain && problem.input == DType::u8) {
    return "convolution of u8 takes packed weights alone";
  }
  constexpr std::int64_t kLargestProduct = 255 * 128, kLargestSum = 0x7fffffff;
  if (problem.input == DType::u8 && problem.depth() > kLargestSum / kLargestProduct) {
    return "convolution of u8 sums at most 65793 products, or 32 bits might overflow";
  }
  if (problem.activation == Activation::geglu && problem.out_channels % 2 != 0) {
    return "geglu needs an even number of output channels";
  }
  return nullptr;
}

Selection<Conv2dKernel> select_conv2d(const Conv2dProblem& problem, Isa limit) {
#if defined(__x86_64__)
  // The table's amx row is the emulation, which packs alike; real tiles take its place.
  if (limit == Isa::amx && isa_missing(Isa::amx) == nullptr) {
    for (const Conv2dKernel* kernel : {&kConv2dAmxBf16, &kConv2dAmxU8}) {
      if (kernel->refuse(problem) == nullptr) return {kernel, nullptr};
    }
  }
#endif
  return select(kTable, sizeof kTable / sizeof kTable[0], problem, limit);
}

}  // namespace bookend
