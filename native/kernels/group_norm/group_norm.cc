#include "kernels/group_norm/group_norm.h"

namespace bookend {
namespace {

constexpr const GroupNormKernel* kGroupNormKernels[] = {
#if defined(__x86_64__)
    &kGroupNormAvx512VnniBf16,
    &kGroupNormAvx512,
    &kGroupNormAvx2,
#endif
    &kGroupNormScalar,
};

}  // namespace

Selection<GroupNormKernel> select_group_norm(const GroupNormProblem& problem, Isa limit) {
  return select(kGroupNormKernels, sizeof kGroupNormKernels / sizeof *kGroupNormKernels, problem,
                limit);
}

}  // namespace bookend
