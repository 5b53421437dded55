#include "kernels/layer_norm/layer_norm.h"

namespace bookend {
namespace {

constexpr const LayerNormKernel* kLayerNormKernels[] = {
#if defined(__x86_64__)
    &kLayerNormAvx512VnniBf16,
    &kLayerNormAvx512,
    &kLayerNormAvx2,
#endif
    &kLayerNormScalar,
};

}  // namespace

Selection<LayerNormKernel> select_layer_norm(const LayerNormProblem& problem, Isa limit) {
  return select(kLayerNormKernels, sizeof kLayerNormKernels / sizeof *kLayerNormKernels, problem,
                limit);
}

}  // namespace bookend
