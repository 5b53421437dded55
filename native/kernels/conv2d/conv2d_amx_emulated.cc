#include "kernels/conv2d/conv2d_kernel.h"
#include "kernels/conv2d/tile_kernel.h"
#include "simd/dot_verbs_amx_emulated.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

extern constinit const Conv2dKernel kConv2dAmxEmulatedBf16 =
    make_conv2d_kernel<TileMicroKernel<EmulatedTiles, DType::bf16>, ScalarFloat, DType::bf16>(
        "conv2d.amx-emulated.bf16", Isa::amx);
extern constinit const Conv2dKernel kConv2dAmxEmulatedU8 =
    make_conv2d_kernel<TileMicroKernel<EmulatedTiles, DType::u8>, ScalarFloat, DType::u8>(
        "conv2d.amx-emulated.u8", Isa::amx);

}  // namespace bookend
