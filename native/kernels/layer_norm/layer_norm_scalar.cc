#include "kernels/layer_norm/layer_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

constinit const LayerNormKernel kLayerNormScalar =
    make_row<LayerNormKernel, LayerNorm<ScalarFloat>>("layer_norm.scalar", Isa::scalar);

}  // namespace bookend
