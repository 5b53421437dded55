#include "kernels/attention/attention_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {
namespace {

using Dot = FloatDot<ScalarFloat>;
using Row = AttentionRow<Attention<float, Dot, Dot, 2, 4>,
                         Attention<Bf16, Dot, Dot, 2, 4>>;

}  // namespace

constinit const AttentionKernel kAttentionScalar =
    make_row<AttentionKernel, Row>("attention.scalar", Isa::scalar);

}  // namespace bookend
