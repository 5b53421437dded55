#include "kernels/make_row.h"
#include "kernels/score_gradient/score_gradient_kernel.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

constinit const ScoreGradientKernel kScoreGradientAvx512VnniBf16 =
    make_row<ScoreGradientKernel, ScoreGradient<Avx512Bf16Float>>("score_gradient.avx512_vnni_bf16", Isa::avx512_vnni_bf16);

}  // namespace bookend
