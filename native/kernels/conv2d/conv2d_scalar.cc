#include "kernels/conv2d/conv2d_kernel.h"
#include "simd/dot_verbs_scalar.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dScalarF32 =
    make_conv2d_kernel<RegisterMicroKernel<ScalarF32Dot>, ScalarFloat, DType::f32>(
        "conv2d.scalar.f32", Isa::scalar);
extern constinit const Conv2dKernel kConv2dScalarBf16 =
    make_conv2d_kernel<RegisterMicroKernel<ScalarBf16Dot>, ScalarFloat, DType::bf16>(
        "conv2d.scalar.bf16", Isa::scalar);
extern constinit const Conv2dKernel kConv2dScalarU8 =
    make_conv2d_kernel<RegisterMicroKernel<ScalarU8Dot>, ScalarFloat, DType::u8>(
        "conv2d.scalar.u8", Isa::scalar);

}  // namespace bookend
