#include "kernels/conv2d/conv2d_kernel.h"
#include "simd/dot_verbs_avx2_vnni.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dAvx2VnniU8 =
    make_conv2d_kernel<RegisterMicroKernel<Avx2VnniU8Dot>, Avx2Float, DType::u8>(
        "conv2d.avx2_vnni.u8", Isa::avx2_vnni);

}  // namespace bookend
