#include "kernels/make_row.h"
#include "kernels/score_gradient/score_gradient_kernel.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

constinit const ScoreGradientKernel kScoreGradientAvx512 =
    make_row<ScoreGradientKernel, ScoreGradient<Avx512Float>>("score_gradient.avx512", Isa::avx512);

}  // namespace bookend
