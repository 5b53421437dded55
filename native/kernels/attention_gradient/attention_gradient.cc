#include "kernels/attention_gradient/attention_gradient.h"

namespace bookend {
namespace {

constexpr const AttentionGradientKernel* kAttentionGradientKernels[] = {
#if defined(__x86_64__)
    &kAttentionGradientAvx512VnniBf16,
    &kAttentionGradientAvx512,
    &kAttentionGradientAvx2,
#endif
    &kAttentionGradientScalar,
};

}  // namespace

Selection<AttentionGradientKernel> select_attention_gradient(
    const AttentionGradientProblem& problem, Isa limit) {
  return select(kAttentionGradientKernels,
                sizeof kAttentionGradientKernels / sizeof *kAttentionGradientKernels, problem,
                limit);
}

}  // namespace bookend
