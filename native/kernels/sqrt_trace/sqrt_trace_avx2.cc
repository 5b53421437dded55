#include "kernels/make_row.h"
#include "kernels/sqrt_trace/sqrt_trace_kernel.h"

namespace bookend {

constinit const SqrtTraceKernel kSqrtTraceAvx2 =
    make_row<SqrtTraceKernel, SqrtTrace<Avx2Double>>("sqrt_trace.avx2", Isa::avx2);

}  // namespace bookend
