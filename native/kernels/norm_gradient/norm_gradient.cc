#include "kernels/norm_gradient/norm_gradient.h"

namespace bookend {
namespace {

constexpr const LayerNormGradientKernel* kLayerNormGradientKernels[] = {
#if defined(__x86_64__)
    &kLayerNormGradientAvx512VnniBf16,
    &kLayerNormGradientAvx512,
    &kLayerNormGradientAvx2,
#endif
    &kLayerNormGradientScalar,
};

constexpr const GroupNormGradientKernel* kGroupNormGradientKernels[] = {
#if defined(__x86_64__)
    &kGroupNormGradientAvx512VnniBf16,
    &kGroupNormGradientAvx512,
    &kGroupNormGradientAvx2,
#endif
    &kGroupNormGradientScalar,
};

constexpr std::size_t kRows =
    sizeof kLayerNormGradientKernels / sizeof *kLayerNormGradientKernels;

}  // namespace

Selection<LayerNormGradientKernel> select_layer_norm_gradient(
    const LayerNormGradientProblem& problem, Isa limit) {
  return select(kLayerNormGradientKernels, kRows, problem, limit);
}

Selection<GroupNormGradientKernel> select_group_norm_gradient(
    const GroupNormGradientProblem& problem, Isa limit) {
  return select(kGroupNormGradientKernels, kRows, problem, limit);
}

}  // namespace bookend
