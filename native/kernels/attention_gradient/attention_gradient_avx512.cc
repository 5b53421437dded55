#include "kernels/attention/float_dot.h"
#include "kernels/attention_gradient/attention_gradient_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {
namespace {

using Dot = FloatDot<Avx512Float>;
using Row = AttentionGradientRow<AttentionGradient<float, Dot, 8, 3>,
                                 AttentionGradient<Bf16, Dot, 8, 3>>;

}  // namespace

constinit const AttentionGradientKernel kAttentionGradientAvx512 =
    make_row<AttentionGradientKernel, Row>("attentionGradient.avx512", Isa::avx512);

}  // namespace bookend
