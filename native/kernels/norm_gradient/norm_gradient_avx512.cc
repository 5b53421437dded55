#include "kernels/make_row.h"
#include "kernels/norm_gradient/group_norm_gradient.h"
#include "kernels/norm_gradient/layer_norm_gradient.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

constinit const LayerNormGradientKernel kLayerNormGradientAvx512 =
    make_row<LayerNormGradientKernel, LayerNormGradient<Avx512Float>>("layer_norm_gradient.avx512", Isa::avx512);
constinit const GroupNormGradientKernel kGroupNormGradientAvx512 =
    make_row<GroupNormGradientKernel, GroupNormGradient<Avx512Float>>("group_norm_gradient.avx512", Isa::avx512);

}  // namespace bookend
