#include "kernels/layer_norm/layer_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

constinit const LayerNormKernel kLayerNormAvx512VnniBf16 =
    make_row<LayerNormKernel, LayerNorm<Avx512Bf16Float>>("layer_norm.avx512_vnni_bf16",
                                                          Isa::avx512_vnni_bf16);

}  // namespace bookend
