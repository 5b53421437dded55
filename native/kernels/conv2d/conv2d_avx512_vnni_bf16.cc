#include "kernels/conv2d/conv2d_kernel.h"
#include "simd/dot_verbs_avx512_vnni.h"
#include "simd/dot_verbs_avx512_vnni_bf16.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dAvx512NativeBf16 =
    make_conv2d_kernel<RegisterMicroKernel<Avx512NativeBf16Dot>, Avx512Bf16Float, DType::bf16>(
        "conv2d.avx512_vnni_bf16.bf16", Isa::avx512_vnni_bf16);
extern constinit const Conv2dKernel kConv2dAvx512NativeU8 =
    make_conv2d_kernel<RegisterMicroKernel<Avx512VnniU8Dot>, Avx512Bf16Float, DType::u8>(
        "conv2d.avx512_vnni_bf16.u8", Isa::avx512_vnni_bf16);

}  // namespace bookend
