#include "kernels/conv2d/conv2d_kernel.h"
#include "simd/dot_verbs_avx2.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dAvx2F32 =
    make_conv2d_kernel<RegisterMicroKernel<Avx2F32Dot>, Avx2Float, DType::f32>("conv2d.avx2.f32",
                                                                              Isa::avx2);
extern constinit const Conv2dKernel kConv2dAvx2Bf16 =
    make_conv2d_kernel<RegisterMicroKernel<Avx2Bf16Dot>, Avx2Float, DType::bf16>(
        "conv2d.avx2.bf16", Isa::avx2);
extern constinit const Conv2dKernel kConv2dAvx2U8 =
    make_conv2d_kernel<RegisterMicroKernel<Avx2U8Dot>, Avx2Float, DType::u8>(
        "conv2d.avx2.u8", Isa::avx2);

}  // namespace bookend
