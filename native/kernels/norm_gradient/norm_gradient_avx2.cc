#include "kernels/make_row.h"
#include "kernels/norm_gradient/group_norm_gradient.h"
#include "kernels/norm_gradient/layer_norm_gradient.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

constinit const LayerNormGradientKernel kLayerNormGradientAvx2 =
    make_row<LayerNormGradientKernel, LayerNormGradient<Avx2Float>>("layer_norm_gradient.avx2", Isa::avx2);
constinit const GroupNormGradientKernel kGroupNormGradientAvx2 =
    make_row<GroupNormGradientKernel, GroupNormGradient<Avx2Float>>("group_norm_gradient.avx2", Isa::avx2);

}  // namespace bookend
