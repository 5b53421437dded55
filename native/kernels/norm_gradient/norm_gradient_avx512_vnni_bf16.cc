#include "kernels/make_row.h"
#include "kernels/norm_gradient/group_norm_gradient.h"
#include "kernels/norm_gradient/layer_norm_gradient.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

constinit const LayerNormGradientKernel kLayerNormGradientAvx512VnniBf16 =
    make_row<LayerNormGradientKernel, LayerNormGradient<Avx512Bf16Float>>("layer_norm_gradient.avx512_vnni_bf16", Isa::avx512_vnni_bf16);
constinit const GroupNormGradientKernel kGroupNormGradientAvx512VnniBf16 =
    make_row<GroupNormGradientKernel, GroupNormGradient<Avx512Bf16Float>>("group_norm_gradient.avx512_vnni_bf16", Isa::avx512_vnni_bf16);

}  // namespace bookend
