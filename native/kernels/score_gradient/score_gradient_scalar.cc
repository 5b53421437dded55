#include "kernels/make_row.h"
#include "kernels/score_gradient/score_gradient_kernel.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

constinit const ScoreGradientKernel kScoreGradientScalar =
    make_row<ScoreGradientKernel, ScoreGradient<ScalarFloat>>("score_gradient.scalar", Isa::scalar);

}  // namespace bookend
