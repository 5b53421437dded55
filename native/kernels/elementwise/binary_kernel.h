// Two inputs, element by element with broadcasting, over float verbs F.
#pragma once

#include "base/axes.h"
#include "kernels/elementwise/elementwise.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
class Binary {
 public:
  static const char* refuse(const BinaryProblem& problem) {
    if (!is_float(problem.a_type) || !is_float(problem.b_type) || !is_float(problem.output)) {
      return "operands are not f32, bf16 or f16";
    }
    return nullptr;
  }
  static std::size_t scratch_bytes(const BinaryProblem&, int) { return 0; }

  static void run(const BinaryProblem& problem, const BinaryOperands& operands,
                  const RunContext& context) {
    Axes axes;
    axes.count = 4;
    for (int i = 0; i < 4; ++i) {
      axes.axis[i] = {problem.extent[i], problem.a_stride[i], problem.b_stride[i]};
    }
    axes = merged(axes);
    // A task is some whole rows of the inner axis, or a block of one where it is long.
    constexpr std::int64_t kPerTask = 16384;
    const std::int64_t inner = axes.inner().extent, turns = axes.outer_turns();
    if (inner == 0 || turns == 0) return;
    const std::int64_t blocks = (inner + kPerTask - 1) / kPerTask;
    const std::int64_t turns_per_task = blocks > 1 ? 1 : kPerTask / inner;
    const std::int64_t groups = (turns + turns_per_task - 1) / turns_per_task;
    context.pool.for_each(groups * blocks, [&](std::int64_t task, int) {
      const std::int64_t begin = task % blocks * kPerTask;
      const std::int64_t size = inner - begin < kPerTask ? inner - begin : kPerTask;
      std::int64_t turn = task / blocks * turns_per_task;
      for (std::int64_t i = 0; i < turns_per_task && turn < turns; ++i, ++turn) {
        std::int64_t a, b;
        axes.offsets(turn, &a, &b);
        const Source first{problem.a_type, operands.a, a, axes.inner().first_stride};
        const Source second{problem.b_type, operands.b, b, axes.inner().second_stride};
        map_row(problem, first, second, operands.out, turn * inner, begin, size);
      }
    });
  }

 private:
  using Vector = typename F::Vector;

  // One operand along the inner axis.
  struct Source {
    DType type;
    const void* data;
    std::int64_t offset, stride;

    template <class Lanes>
    [[gnu::always_inline]] inline Vector load(std::int64_t i, const Lanes& lanes) const {
      if (stride == 1) return load_as<F>(type, data, offset + i, lanes);
      if (stride == 0) return F::splat(element(0));
      float values[F::width] = {};
      for (int lane = 0; lane < lanes.count; ++lane) values[lane] = element(i + lane);
      return F::load(values);
    }
    float element(std::int64_t i) const {
      return load_as<ScalarFloat>(type, data, offset + i * stride, AllLanes<ScalarFloat>{});
    }
  };

  static void map_row(const BinaryProblem& problem, const Source& a, const Source& b, void* out,
                      std::int64_t out_offset, std::int64_t begin, std::int64_t size) {
    const auto map = [&](const auto& function) {
      for_lanes<F>(size, [&](std::int64_t i, const auto& lanes) {
        const Vector y = function(a.load(begin + i, lanes), b.load(begin + i, lanes));
        store_as<F>(problem.output, out, out_offset + begin + i, y, lanes);
      });
    };
    switch (problem.op) {
      case BinaryOp::add:
        return map([](Vector x, Vector y) { return F::add(x, y); });
      case BinaryOp::sub:
        return map([](Vector x, Vector y) { return F::sub(x, y); });
      case BinaryOp::mul:
        return map([](Vector x, Vector y) { return F::mul(x, y); });
      case BinaryOp::div:
        return map([](Vector x, Vector y) { return F::div(x, y); });
    }
  }
};

}  // namespace
}  // namespace bookend
