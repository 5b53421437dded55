#include "kernels/sqrt_trace/sqrt_trace.h"

namespace bookend {
namespace {

constexpr const SqrtTraceKernel* kSqrtTraceKernels[] = {
#if defined(__x86_64__)
    &kSqrtTraceAvx512,
    &kSqrtTraceAvx2,
#endif
    &kSqrtTraceScalar,
};

}  // namespace

Selection<SqrtTraceKernel> select_sqrt_trace(const SqrtTraceProblem& problem, Isa limit) {
  return select(kSqrtTraceKernels, sizeof kSqrtTraceKernels / sizeof *kSqrtTraceKernels, problem,
                limit);
}

}  // namespace bookend
