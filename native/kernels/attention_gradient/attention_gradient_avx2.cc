#include "kernels/attention/float_dot.h"
#include "kernels/attention_gradient/attention_gradient_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {
namespace {

using Dot = FloatDot<Avx2Float>;
using Row = AttentionGradientRow<AttentionGradient<float, Dot, 4, 3>,
                                 AttentionGradient<Bf16, Dot, 4, 3>>;

}  // namespace

constinit const AttentionGradientKernel kAttentionGradientAvx2 =
    make_row<AttentionGradientKernel, Row>("attentionGradient.avx2", Isa::avx2);

}  // namespace bookend
