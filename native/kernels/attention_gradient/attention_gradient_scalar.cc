#include "kernels/attention/float_dot.h"
#include "kernels/attention_gradient/attention_gradient_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {
namespace {

using Dot = FloatDot<ScalarFloat>;
using Row = AttentionGradientRow<AttentionGradient<float, Dot, 4, 3>,
                                 AttentionGradient<Bf16, Dot, 4, 3>>;

}  // namespace

constinit const AttentionGradientKernel kAttentionGradientScalar =
    make_row<AttentionGradientKernel, Row>("attentionGradient.scalar", Isa::scalar);

}  // namespace bookend
