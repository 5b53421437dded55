#include "kernels/attention/attention.h"

namespace bookend {
namespace {

// No row for AMX: tiles would have to be stored and reloaded around every softmax, and the vectors'
// bf16 products serve those machines too.
constexpr const AttentionKernel* kAttentionKernels[] = {
#if defined(__x86_64__)
    &kAttentionAvx512VnniBf16,
    &kAttentionInt8Avx512VnniBf16,
    &kAttentionInt8Avx512Vnni,
    &kAttentionAvx512,
    &kAttentionAvx2,
#endif
    &kAttentionScalar,
};

}  // namespace

Selection<AttentionKernel> select_attention(const AttentionProblem& problem, Isa limit) {
  return select(kAttentionKernels, sizeof kAttentionKernels / sizeof *kAttentionKernels, problem,
                limit);
}

}  // namespace bookend
