#include "kernels/score_gradient/score_gradient.h"

namespace bookend {
namespace {

constexpr const ScoreGradientKernel* kScoreGradientKernels[] = {
#if defined(__x86_64__)
    &kScoreGradientAvx512VnniBf16,
    &kScoreGradientAvx512,
    &kScoreGradientAvx2,
#endif
    &kScoreGradientScalar,
};

}  // namespace

Selection<ScoreGradientKernel> select_score_gradient(const ScoreGradientProblem& problem,
                                                     Isa limit) {
  return select(kScoreGradientKernels,
                sizeof kScoreGradientKernels / sizeof *kScoreGradientKernels, problem, limit);
}

}  // namespace bookend
