#include "kernels/make_row.h"
#include "kernels/sqrt_trace/sqrt_trace_kernel.h"

namespace bookend {

constinit const SqrtTraceKernel kSqrtTraceScalar =
    make_row<SqrtTraceKernel, SqrtTrace<ScalarDouble>>("sqrt_trace.scalar", Isa::scalar);

}  // namespace bookend
