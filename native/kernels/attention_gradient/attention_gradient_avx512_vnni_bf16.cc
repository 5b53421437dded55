#include "kernels/attention/bf16_dot.h"
#include "kernels/attention/float_dot.h"
#include "kernels/attention_gradient/attention_gradient_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {
namespace {

using Dot = FloatDot<Avx512Bf16Float>;
using Row = AttentionGradientRow<AttentionGradient<float, Dot, 8, 3>,
                                 AttentionGradient<Bf16, Bf16Dot, 8, 3>>;

}  // namespace

constinit const AttentionGradientKernel kAttentionGradientAvx512VnniBf16 =
    make_row<AttentionGradientKernel, Row>("attentionGradient.avx512_vnni_bf16",
                                           Isa::avx512_vnni_bf16);

}  // namespace bookend
