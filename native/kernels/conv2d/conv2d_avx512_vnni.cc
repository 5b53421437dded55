#include "kernels/conv2d/conv2d_kernel.h"
#include "simd/dot_verbs_avx512_vnni.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dAvx512VnniU8 =
    make_conv2d_kernel<RegisterMicroKernel<Avx512VnniU8Dot>, Avx512Float, DType::u8>(
        "conv2d.avx512_vnni.u8", Isa::avx512_vnni);

}  // namespace bookend
