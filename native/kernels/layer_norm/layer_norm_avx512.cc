#include "kernels/layer_norm/layer_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

constinit const LayerNormKernel kLayerNormAvx512 =
    make_row<LayerNormKernel, LayerNorm<Avx512Float>>("layer_norm.avx512", Isa::avx512);

}  // namespace bookend
