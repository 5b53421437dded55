// LayerNorm's gradient over float verbs F: both rows stay in L1 for the passes over them. Gradients
// of gamma and beta are summed for each block of rows, and the blocks added in order.
#pragma once

#include "kernels/norm_gradient/norm_gradient.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
class LayerNormGradient {
 public:
  static const char* refuse(const LayerNormGradientProblem& problem) {
    return is_f32_or_bf16(problem.type) ? nullptr : "x is not f32 or bf16";
  }

  static std::size_t scratch_bytes(const LayerNormGradientProblem& problem, int) {
    return static_cast<std::size_t>(2 * blocks(problem) * problem.channels) * sizeof(float);
  }

  static void run(const LayerNormGradientProblem& problem, const NormGradientOperands& operands,
                  const RunContext& context) {
    float* sums = reinterpret_cast<float*>(context.scratch);  // [block][gamma, beta][channels]
    const std::int64_t n = problem.channels;
    context.pool.for_each(blocks(problem), [&](std::int64_t block, int) {
      float* gamma_sums = sums + 2 * block * n;
      for (std::int64_t c = 0; c < 2 * n; ++c) gamma_sums[c] = 0.0f;
      std::int64_t end = (block + 1) * kRowsPerBlock;
      if (end > problem.rows) end = problem.rows;
      with_type(problem.type, [&](auto* type) {
        for (std::int64_t row = block * kRowsPerBlock; row < end; ++row) {
          differentiate(type, problem, operands, row, gamma_sums, gamma_sums + n);
        }
      });
    });
    for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
      Vector gamma = F::zero(), beta = F::zero();
      for (std::int64_t block = 0; block < blocks(problem); ++block) {
        gamma = F::add(gamma, lanes.load(sums + 2 * block * n + c));
        beta = F::add(beta, lanes.load(sums + (2 * block + 1) * n + c));
      }
      lanes.store(operands.gamma_gradient + c, gamma);
      lanes.store(operands.beta_gradient + c, beta);
    });
  }

 private:
  using Vector = typename F::Vector;
  static constexpr std::int64_t kRowsPerBlock = 32;

  static std::int64_t blocks(const LayerNormGradientProblem& problem) {
    return (problem.rows + kRowsPerBlock - 1) / kRowsPerBlock;
  }

  struct Moments {
    float mean, left;  // mean + left is the mean, as in layer_norm_kernel.h
    float inverse;     // 1 / deviation
  };

  template <class T>
  static Moments measure(const T* x, std::int64_t n, float epsilon) {
    Vector sum = F::zero();
    for_lanes<F>(n, [&](std::int64_t i, const auto& lanes) { sum = F::add(sum, lanes.load(x + i)); });
    const float count = static_cast<float>(n), mean = F::reduce_add(sum) / count;
    Vector rest = F::zero(), square = F::zero();
    for_lanes<F>(n, [&](std::int64_t i, const auto& lanes) {
      const Vector d = lanes.keep(F::sub(lanes.load(x + i), F::splat(mean)), F::zero());
      rest = F::add(rest, d);
      square = F::fma(d, d, square);
    });
    const float left = F::reduce_add(rest) / count;
    const float variance = F::reduce_add(square) / count - left * left;
    return {mean, left, 1.0f / __builtin_sqrtf(variance + epsilon)};
  }

  template <class T>
  static void differentiate(T*, const LayerNormGradientProblem& problem,
                            const NormGradientOperands& operands, std::int64_t row,
                            float* gamma_sums, float* beta_sums) {
    const std::int64_t n = problem.channels;
    const T* x = static_cast<const T*>(operands.x) + row * n;
    const T* dy = static_cast<const T*>(operands.gradient) + row * n;
    T* dx = static_cast<T*>(operands.out) + row * n;
    const Moments moments = measure(x, n, problem.epsilon);
    const Vector mean = F::splat(moments.mean), left = F::splat(moments.left);
    const Vector inverse = F::splat(moments.inverse);
    const auto normalised = [&](std::int64_t i, const auto& lanes) {
      return F::mul(F::sub(F::sub(lanes.load(x + i), mean), left), inverse);
    };
    Vector sum = F::zero(), product = F::zero();
    for_lanes<F>(n, [&](std::int64_t i, const auto& lanes) {
      const Vector y = lanes.load(dy + i), hat = normalised(i, lanes);
      const Vector g = F::mul(y, lanes.load(operands.gamma + i));
      sum = F::add(sum, g);
      product = F::fma(g, hat, product);
      lanes.store(gamma_sums + i, F::fma(y, hat, lanes.load(gamma_sums + i)));
      lanes.store(beta_sums + i, F::add(y, lanes.load(beta_sums + i)));
    });
    const Vector mean_g = F::splat(F::reduce_add(sum) / static_cast<float>(n));
    const Vector mean_gx = F::splat(F::reduce_add(product) / static_cast<float>(n));
    for_lanes<F>(n, [&](std::int64_t i, const auto& lanes) {
      const Vector g = F::mul(lanes.load(dy + i), lanes.load(operands.gamma + i));
      const Vector centred = F::fnma(normalised(i, lanes), mean_gx, F::sub(g, mean_g));
      lanes.store(dx + i, F::mul(centred, inverse));
    });
  }
};

}  // namespace
}  // namespace bookend
