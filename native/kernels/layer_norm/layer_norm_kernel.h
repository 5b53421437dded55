// LayerNorm over float verbs F: a row stays in L1, so its statistics take two exact passes.
#pragma once

#include "kernels/layer_norm/layer_norm.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
struct LayerNorm {
  using Vector = typename F::Vector;

  static const char* refuse(const LayerNormProblem& problem) {
    if (!is_f32_or_bf16(problem.input)) return "input is not f32 or bf16";
    if (!is_f32_or_bf16(problem.output) && problem.output != DType::u8) {
      return "output is not f32, bf16 or u8";
    }
    return nullptr;
  }
  static std::size_t scratch_bytes(const LayerNormProblem&, int) { return 0; }

  static void run(const LayerNormProblem& problem, const LayerNormOperands& operands,
                  const RunContext& context) {
    const std::int64_t rows_per_task = 1 + 16384 / (problem.channels + 1);
    const std::int64_t tasks = (problem.rows + rows_per_task - 1) / rows_per_task;
    context.pool.for_each(tasks, [&](std::int64_t task, int) {
      std::int64_t end = (task + 1) * rows_per_task;
      if (end > problem.rows) end = problem.rows;
      with_type(problem.input, [&](auto* in) {
        with_result_type(problem.output, [&](auto* out) {
          for (std::int64_t row = task * rows_per_task; row < end; ++row) {
            normalise(in, out, problem, operands, row);
          }
        });
      });
    });
  }

 private:
  // The mean is taken in two steps: a rounded one, then the mean of what it leaves. Deviations stay
  // exact where the mean is large beside the spread.
  template <class In, class Out>
  static void normalise(In*, Out*, const LayerNormProblem& problem,
                        const LayerNormOperands& operands, std::int64_t row) {
    const std::int64_t n = problem.channels;
    const In* x = static_cast<const In*>(operands.x) + row * n;
    Out* out = static_cast<Out*>(operands.out) + row * n;
    const auto load = [&](std::int64_t i, const auto& lanes) { return lanes.load(x + i); };
    Vector sum = F::zero();
    for_lanes<F>(n, [&](std::int64_t i, const auto& lanes) { sum = F::add(sum, load(i, lanes)); });
    const float mean = F::reduce_add(sum) / static_cast<float>(n);

    Vector rest = F::zero(), square = F::zero();
    for_lanes<F>(n, [&](std::int64_t i, const auto& lanes) {
      const Vector d = lanes.keep(F::sub(load(i, lanes), F::splat(mean)), F::zero());
      rest = F::add(rest, d);
      square = F::fma(d, d, square);
    });
    const float left = F::reduce_add(rest) / static_cast<float>(n);
    const float variance = F::reduce_add(square) / static_cast<float>(n) - left * left;
    const float scale = 1.0f / __builtin_sqrtf(variance + problem.epsilon);

    const auto quantizer = Quantizer<F>::of(problem.quantize_scale, problem.quantize_zero);
    for_lanes<F>(n, [&](std::int64_t i, const auto& lanes) {
      const Vector d = F::sub(F::sub(load(i, lanes), F::splat(mean)), F::splat(left));
      const Vector y = F::fma(F::mul(d, F::splat(scale)), lanes.load(operands.gamma + i),
                              lanes.load(operands.beta + i));
      lanes.store(out + i, quantizer.apply(out, y));
    });
  }
};

}  // namespace
}  // namespace bookend
