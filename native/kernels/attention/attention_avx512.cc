#include "kernels/attention/attention_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {
namespace {

using Dot = FloatDot<Avx512Float>;
using Row = AttentionRow<Attention<float, Dot, Dot, 6, 4>,
                         Attention<Bf16, Dot, Dot, 6, 4>>;

}  // namespace

constinit const AttentionKernel kAttentionAvx512 =
    make_row<AttentionKernel, Row>("attention.avx512", Isa::avx512);

}  // namespace bookend
