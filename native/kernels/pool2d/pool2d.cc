#include "kernels/pool2d/pool2d.h"

namespace bookend {
namespace {

constexpr const Pool2dKernel* kPool2dKernels[] = {
#if defined(__x86_64__)
    &kPool2dAvx512VnniBf16,
    &kPool2dAvx512,
    &kPool2dAvx2,
#endif
    &kPool2dScalar,
};

}  // namespace

Selection<Pool2dKernel> select_pool2d(const Pool2dProblem& problem, Isa limit) {
  return select(kPool2dKernels, sizeof kPool2dKernels / sizeof *kPool2dKernels, problem, limit);
}

}  // namespace bookend
