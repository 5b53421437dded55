#include "kernels/attention/attention_kernel.h"
#include "kernels/attention/int8_scores.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {
namespace {

using Row =
    Int8AttentionRow<Attention<Bf16, Int8Scores<Avx512Float>, FloatDot<Avx512Float>, 6, 4>>;

}  // namespace

constinit const AttentionKernel kAttentionInt8Avx512Vnni =
    make_row<AttentionKernel, Row>("attention.avx512_vnni.int8", Isa::avx512_vnni);

}  // namespace bookend
