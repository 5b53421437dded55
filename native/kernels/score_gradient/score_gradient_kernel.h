// The gradient of attention's scores over float verbs F: three passes over a row in L1.
#pragma once

#include "kernels/score_gradient/score_gradient.h"
#include "simd/float_math.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
struct ScoreGradient {
  using Vector = typename F::Vector;

  static const char* refuse(const ScoreGradientProblem& problem) {
    return is_f32_or_bf16(problem.output) ? nullptr : "the result is not f32 or bf16";
  }
  static std::size_t scratch_bytes(const ScoreGradientProblem&, int) { return 0; }

  static void run(const ScoreGradientProblem& problem, const ScoreGradientOperands& operands,
                  const RunContext& context) {
    const std::int64_t per_task = 1 + 16384 / (problem.columns + 1);
    context.pool.for_each((problem.rows + per_task - 1) / per_task, [&](std::int64_t task, int) {
      const std::int64_t left = problem.rows - task * per_task;
      const std::int64_t end = task * per_task + (left < per_task ? left : per_task);
      with_type(problem.output, [&](auto* type) {
        for (std::int64_t row = task * per_task; row < end; ++row) {
          differentiate(type, problem, operands, row);
        }
      });
    });
  }

 private:
  template <class T>
  static void differentiate(T*, const ScoreGradientProblem& problem,
                            const ScoreGradientOperands& operands, std::int64_t row) {
    const std::int64_t n = problem.columns;
    const std::int64_t seen = problem.visible + row < n ? problem.visible + row : n;
    float* scores = operands.scores + row * n;
    const float* gradient = operands.gradient + row * n;
    T* probabilities = static_cast<T*>(operands.probabilities) + row * n;
    T* out = static_cast<T*>(operands.out) + row * n;
    Vector largest = F::splat(-__builtin_inff());
    for_lanes<F>(seen, [&](std::int64_t i, const auto& lanes) {
      largest = F::max(largest, lanes.keep(lanes.load(scores + i), largest));
    });
    const Vector top = F::splat(F::reduce_max(largest));
    Vector sum = F::zero();
    for_lanes<F>(seen, [&](std::int64_t i, const auto& lanes) {
      const Vector e = exp<F>(F::sub(lanes.load(scores + i), top));
      lanes.store(scores + i, e);
      sum = F::add(sum, lanes.keep(e, F::zero()));
    });
    const Vector inverse = F::splat(1.0f / F::reduce_add(sum));
    const Vector shift = F::splat(operands.shift[row * problem.shift_stride]);
    for_lanes<F>(seen, [&](std::int64_t i, const auto& lanes) {
      const Vector p = F::mul(lanes.load(scores + i), inverse);
      lanes.store(probabilities + i, p);
      lanes.store(out + i, F::mul(p, F::sub(lanes.load(gradient + i), shift)));
    });
    for_lanes<F>(n - seen, [&](std::int64_t i, const auto& lanes) {
      lanes.store(probabilities + seen + i, F::zero());
      lanes.store(out + seen + i, F::zero());
    });
  }
};

}  // namespace
}  // namespace bookend
