#include "kernels/attention/attention_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {
namespace {

using Dot = FloatDot<Avx2Float>;
using Row = AttentionRow<Attention<float, Dot, Dot, 6, 2>,
                         Attention<Bf16, Dot, Dot, 6, 2>>;

}  // namespace

constinit const AttentionKernel kAttentionAvx2 =
    make_row<AttentionKernel, Row>("attention.avx2", Isa::avx2);

}  // namespace bookend
