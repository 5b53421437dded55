// Pooling over float verbs F.
#pragma once

#include "kernels/pool2d/pool2d.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

// Pixels [begin, end) of the image along one axis.
struct Span {
  std::int64_t begin, end;
};

Span window_on(std::int64_t size, std::int64_t out, int kernel, int stride, int pad) {
  const std::int64_t first = out * stride - pad, last = first + kernel;
  return {first < 0 ? 0 : first, last > size ? size : last};
}

template <class F>
struct Pool2d {
  using Vector = typename F::Vector;

  static const char* refuse(const Pool2dProblem& problem) {
    return is_f32_or_bf16(problem.type) ? nullptr : "operands are not f32 or bf16";
  }
  static std::size_t scratch_bytes(const Pool2dProblem&, int) { return 0; }

  // A task is a row of the output.
  static void run(const Pool2dProblem& problem, const Pool2dOperands& operands,
                  const RunContext& context) {
    with_type(problem.type, [&](auto* element) {
      using T = std::remove_pointer_t<decltype(element)>;
      context.pool.for_each(problem.batch * problem.out_height, [&](std::int64_t task, int) {
        const std::int64_t image = task / problem.out_height, y = task % problem.out_height;
        const Span rows = window_on(problem.height, y, problem.kernel_height, problem.stride,
                                    problem.pad_top);
        const T* source = static_cast<const T*>(operands.x) +
                          image * problem.height * problem.width * problem.channels;
        T* out = static_cast<T*>(operands.out) + task * problem.out_width * problem.channels;
        for (std::int64_t x = 0; x < problem.out_width; ++x, out += problem.channels) {
          const Span columns = window_on(problem.width, x, problem.kernel_width, problem.stride,
                                         problem.pad_left);
          pool(problem, source, rows, columns, out);
        }
      });
    });
  }

 private:
  template <class T>
  static void pool(const Pool2dProblem& problem, const T* source, Span rows, Span columns,
                   T* out) {
    const bool is_max = problem.kind == Pooling::max;
    const std::int64_t count = (rows.end - rows.begin) * (columns.end - columns.begin);
    const Vector start = is_max ? F::splat(-__builtin_inff()) : F::zero();
    const Vector divisor = F::splat(static_cast<float>(count));
    for_lanes<F>(problem.channels, [&](std::int64_t c, const auto& lanes) {
      Vector total = start;
      for (std::int64_t y = rows.begin; y < rows.end; ++y) {
        const T* pixel = source + (y * problem.width + columns.begin) * problem.channels + c;
        for (std::int64_t x = columns.begin; x < columns.end; ++x, pixel += problem.channels) {
          const Vector value = lanes.load(pixel);
          total = is_max ? F::max(total, value) : F::add(total, value);
        }
      }
      lanes.store(out + c, is_max ? total : F::div(total, divisor));
    });
  }
};

}  // namespace
}  // namespace bookend
