#include "kernels/attention/attention_kernel.h"
#include "kernels/attention/bf16_dot.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {
namespace {

using Row = AttentionRow<Attention<float, FloatDot<Avx512Bf16Float>, 6, 4>,
                         Attention<Bf16, Bf16Dot, 6, 4>>;

}  // namespace

constinit const AttentionKernel kAttentionAvx512VnniBf16 =
    make_row<AttentionKernel, Row>("attention.avx512_vnni_bf16", Isa::avx512_vnni_bf16);

}  // namespace bookend
