#include "kernels/attention/attention_kernel.h"
#include "kernels/attention/bf16_dot.h"
#include "kernels/attention/int8_scores.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {
namespace {

using Dot = FloatDot<Avx512Bf16Float>;
using Row = AttentionRow<Attention<float, Dot, Dot, 6, 4>,
                         Attention<Bf16, Bf16Dot, Bf16Dot, 6, 4>>;

using Int8Row = Int8AttentionRow<Attention<Bf16, Int8Scores<Avx512Bf16Float>, Bf16Dot, 6, 4>>;

}  // namespace

constinit const AttentionKernel kAttentionAvx512VnniBf16 =
    make_row<AttentionKernel, Row>("attention.avx512_vnni_bf16", Isa::avx512_vnni_bf16);

constinit const AttentionKernel kAttentionInt8Avx512VnniBf16 = make_row<AttentionKernel, Int8Row>(
    "attention.avx512_vnni_bf16.int8", Isa::avx512_vnni_bf16);

}  // namespace bookend
