#include "kernels/make_row.h"
#include "kernels/sqrt_trace/sqrt_trace_kernel.h"

namespace bookend {

constinit const SqrtTraceKernel kSqrtTraceAvx512 =
    make_row<SqrtTraceKernel, SqrtTrace<Avx512Double>>("sqrt_trace.avx512", Isa::avx512);

}  // namespace bookend
