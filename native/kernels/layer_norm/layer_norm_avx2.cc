#include "kernels/layer_norm/layer_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

constinit const LayerNormKernel kLayerNormAvx2 =
    make_row<LayerNormKernel, LayerNorm<Avx2Float>>("layer_norm.avx2", Isa::avx2);

}  // namespace bookend
