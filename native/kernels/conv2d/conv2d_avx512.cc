#include "kernels/conv2d/conv2d_kernel.h"
#include "simd/dot_verbs_avx512.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dAvx512F32 =
    make_conv2d_kernel<RegisterMicroKernel<Avx512F32Dot>, Avx512Float, DType::f32>(
        "conv2d.avx512.f32", Isa::avx512);
extern constinit const Conv2dKernel kConv2dAvx512Bf16 =
    make_conv2d_kernel<RegisterMicroKernel<Avx512Bf16Dot>, Avx512Float, DType::bf16>(
        "conv2d.avx512.bf16", Isa::avx512);
extern constinit const Conv2dKernel kConv2dAvx512U8 =
    make_conv2d_kernel<RegisterMicroKernel<Avx512U8Dot>, Avx512Float, DType::u8>(
        "conv2d.avx512.u8", Isa::avx512);

}  // namespace bookend
