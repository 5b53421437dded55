#include "kernels/make_row.h"
#include "kernels/norm_gradient/group_norm_gradient.h"
#include "kernels/norm_gradient/layer_norm_gradient.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

constinit const LayerNormGradientKernel kLayerNormGradientScalar =
    make_row<LayerNormGradientKernel, LayerNormGradient<ScalarFloat>>("layer_norm_gradient.scalar", Isa::scalar);
constinit const GroupNormGradientKernel kGroupNormGradientScalar =
    make_row<GroupNormGradientKernel, GroupNormGradient<ScalarFloat>>("group_norm_gradient.scalar", Isa::scalar);

}  // namespace bookend
