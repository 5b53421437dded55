#include "kernels/elementwise/elementwise.h"

namespace bookend {
namespace {

constexpr const UnaryKernel* kUnaryKernels[] = {
#if defined(__x86_64__)
    &kUnaryAvx512VnniBf16,
    &kUnaryAvx512,
    &kUnaryAvx2,
#endif
    &kUnaryScalar,
};

constexpr const BinaryKernel* kBinaryKernels[] = {
#if defined(__x86_64__)
    &kBinaryAvx512VnniBf16,
    &kBinaryAvx512,
    &kBinaryAvx2,
#endif
    &kBinaryScalar,
};

constexpr const GegluKernel* kGegluKernels[] = {
#if defined(__x86_64__)
    &kGegluAvx512VnniBf16,
    &kGegluAvx512,
    &kGegluAvx2,
#endif
    &kGegluScalar,
};

constexpr const SoftmaxKernel* kSoftmaxKernels[] = {
#if defined(__x86_64__)
    &kSoftmaxAvx512VnniBf16,
    &kSoftmaxAvx512,
    &kSoftmaxAvx2,
#endif
    &kSoftmaxScalar,
};

}  // namespace

Selection<UnaryKernel> select_unary(const UnaryProblem& problem, Isa limit) {
  return select(kUnaryKernels, sizeof kUnaryKernels / sizeof *kUnaryKernels, problem, limit);
}

Selection<BinaryKernel> select_binary(const BinaryProblem& problem, Isa limit) {
  return select(kBinaryKernels, sizeof kBinaryKernels / sizeof *kBinaryKernels, problem, limit);
}

Selection<GegluKernel> select_geglu(const GegluProblem& problem, Isa limit) {
  return select(kGegluKernels, sizeof kGegluKernels / sizeof *kGegluKernels, problem, limit);
}

Selection<SoftmaxKernel> select_softmax(const SoftmaxProblem& problem, Isa limit) {
  return select(kSoftmaxKernels, sizeof kSoftmaxKernels / sizeof *kSoftmaxKernels, problem, limit);
}

}  // namespace bookend
