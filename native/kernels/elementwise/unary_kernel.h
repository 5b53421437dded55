// One input, element by element, over float verbs F.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "simd/float_math.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
class Unary {
 public:
  static const char* refuse(const UnaryProblem& problem) {
    if (has_codes(problem)) return refuse_codes(problem);
    const bool readable = is_float(problem.input) || problem.input == DType::s32;
    if (!readable) return "input is not f32, bf16, f16, s32 or u8";
    if (!is_float(problem.output)) return "output is not f32, bf16, f16 or u8";
    return nullptr;
  }
  static std::size_t scratch_bytes(const UnaryProblem&, int) { return 0; }

  static void run(const UnaryProblem& problem, const UnaryOperands& operands,
                  const RunContext& context) {
    constexpr std::int64_t kPerTask = 16384;
    // A cast must keep the sign of -0, which adding +0 would lose.
    const Vector offset = F::splat(problem.offset == 0.0f ? -0.0f : problem.offset);
    const Vector scale = F::splat(problem.scale);
    context.pool.for_each((problem.count + kPerTask - 1) / kPerTask, [&](std::int64_t task, int) {
      const std::int64_t begin = task * kPerTask, left = problem.count - begin;
      if (has_codes(problem)) {
        return map_codes(problem, operands, begin, left < kPerTask ? left : kPerTask);
      }
      const auto map = [&](const auto& function) {
        for_lanes<F>(left < kPerTask ? left : kPerTask, [&](std::int64_t i, const auto& lanes) {
          const Vector x = load_as<F>(problem.input, operands.x, begin + i, lanes);
          store_as<F>(problem.output, operands.out, begin + i, function(x), lanes);
        });
      };
      switch (problem.op) {
        case UnaryOp::affine:
          return map([&](Vector x) { return F::fma(x, scale, offset); });
        case UnaryOp::silu:
          return map([](Vector x) { return silu<F>(x); });
        case UnaryOp::gelu:
          return map([](Vector x) { return gelu<F>(x); });
        case UnaryOp::gelu_tanh:
          return map([](Vector x) { return gelu_tanh<F>(x); });
        case UnaryOp::quick_gelu:
          return map([](Vector x) { return quick_gelu<F>(x); });
        case UnaryOp::relu:
          return map([](Vector x) { return relu<F>(x); });
        case UnaryOp::sigmoid:
          return map([](Vector x) { return sigmoid<F>(x); });
        case UnaryOp::tanh:
          return map([](Vector x) { return tanh<F>(x); });
        case UnaryOp::exp:
          return map([](Vector x) { return exp<F>(x); });
        case UnaryOp::erf:
          return map([](Vector x) { return erf<F>(x); });
      }
    });
  }

 private:
  using Vector = typename F::Vector;

  // Codes have a loop of their own: as one more case of every load and store they would keep the
  // compiler from taking the switches out of the loops above.
  static bool has_codes(const UnaryProblem& problem) {
    return problem.input == DType::u8 || problem.output == DType::u8;
  }
  static const char* refuse_codes(const UnaryProblem& problem) {
    if (problem.op != UnaryOp::affine) return "only affine reads or writes u8";
    if (!is_f32_or_bf16(problem.input) && problem.input != DType::u8) {
      return "input beside u8 is not f32, bf16 or u8";
    }
    if (!is_f32_or_bf16(problem.output) && problem.output != DType::u8) {
      return "output beside u8 is not f32, bf16 or u8";
    }
    return nullptr;
  }
  static void map_codes(const UnaryProblem& problem, const UnaryOperands& operands,
                        std::int64_t begin, std::int64_t count) {
    const Vector scale = F::splat(problem.scale), offset = F::splat(problem.offset);
    with_result_type(problem.input, [&](auto* in) {
      with_result_type(problem.output, [&](auto* out) {
        const auto* x = static_cast<decltype(in)>(const_cast<void*>(operands.x)) + begin;
        auto* y = static_cast<decltype(out)>(operands.out) + begin;
        for_lanes<F>(count, [&](std::int64_t i, const auto& lanes) {
          lanes.store(y + i, F::fma(lanes.load(x + i), scale, offset));
        });
      });
    });
  }
};

}  // namespace
}  // namespace bookend
