#include "kernels/conv2d/conv2d_kernel.h"
#include "kernels/conv2d/tile_kernel.h"
#include "simd/dot_verbs_amx.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dAmxBf16 =
    make_conv2d_kernel<TileMicroKernel<HardwareTiles, DType::bf16>, Avx512Bf16Float, DType::bf16>(
        "conv2d.amx.bf16", Isa::amx);
extern constinit const Conv2dKernel kConv2dAmxU8 =
    make_conv2d_kernel<TileMicroKernel<HardwareTiles, DType::u8>, Avx512Bf16Float, DType::u8>(
        "conv2d.amx.u8", Isa::amx);

}  // namespace bookend
