#include "kernels/fake_quantize/fake_quantize.h"

namespace bookend {
namespace {

constexpr const FakeQuantizeKernel* kFakeQuantizeKernels[] = {
#if defined(__x86_64__)
    &kFakeQuantizeAvx512VnniBf16,
    &kFakeQuantizeAvx512,
    &kFakeQuantizeAvx2,
#endif
    &kFakeQuantizeScalar,
};

}  // namespace

Selection<FakeQuantizeKernel> select_fake_quantize(const FakeQuantizeProblem& problem, Isa limit) {
  return select(kFakeQuantizeKernels, sizeof kFakeQuantizeKernels / sizeof *kFakeQuantizeKernels,
                problem, limit);
}

}  // namespace bookend
