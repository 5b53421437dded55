#include "kernels/make_row.h"
#include "kernels/score_gradient/score_gradient_kernel.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

constinit const ScoreGradientKernel kScoreGradientAvx2 =
    make_row<ScoreGradientKernel, ScoreGradient<Avx2Float>>("score_gradient.avx2", Isa::avx2);

}  // namespace bookend
