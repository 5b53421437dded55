// GEGLU and softmax over float verbs F: ops that look at a whole row.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "simd/float_math.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

// Calls body(row) for every row, about 16,384 elements to a task.
template <class Body>
void for_rows(const RunContext& context, std::int64_t rows, std::int64_t columns,
              const Body& body) {
  const std::int64_t per_task = 1 + 16384 / (columns + 1);
  context.pool.for_each((rows + per_task - 1) / per_task, [&](std::int64_t task, int) {
    for (std::int64_t i = 0, row = task * per_task; i < per_task && row < rows; ++i, ++row) {
      body(row);
    }
  });
}

template <class F>
struct Geglu {
  using Vector = typename F::Vector;

  static const char* refuse(const GegluProblem& problem) {
    return is_float(problem.type) ? nullptr : "operands are not f32, bf16 or f16";
  }
  static std::size_t scratch_bytes(const GegluProblem&, int) { return 0; }

  static void run(const GegluProblem& problem, const GegluOperands& operands,
                  const RunContext& context) {
    const DType type = problem.type;
    const std::int64_t n = problem.columns;
    for_rows(context, problem.rows, n, [&](std::int64_t row) {
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        const Vector value = load_as<F>(type, operands.x, row * 2 * n + c, lanes);
        const Vector gate = load_as<F>(type, operands.x, row * 2 * n + n + c, lanes);
        store_as<F>(type, operands.out, row * n + c, F::mul(value, gelu<F>(gate)), lanes);
      });
    });
  }
};

template <class F>
struct Softmax {
  using Vector = typename F::Vector;

  static const char* refuse(const SoftmaxProblem& problem) {
    return is_float(problem.type) ? nullptr : "operands are not f32, bf16 or f16";
  }
  static std::size_t scratch_bytes(const SoftmaxProblem&, int) { return 0; }

  // Exponentials are computed twice instead of stored, so that only results are ever rounded to
  // the storage type.
  static void run(const SoftmaxProblem& problem, const SoftmaxOperands& operands,
                  const RunContext& context) {
    const DType type = problem.type;
    const std::int64_t n = problem.columns;
    for_rows(context, problem.rows, n, [&](std::int64_t row) {
      const auto load = [&](std::int64_t c, const auto& lanes) {
        return load_as<F>(type, operands.x, row * n + c, lanes);
      };
      const Vector lowest = F::splat(-__builtin_inff());
      Vector largest = lowest;
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        largest = F::max(largest, lanes.keep(load(c, lanes), lowest));
      });
      const Vector shift = F::splat(F::reduce_max(largest));
      Vector sum = F::zero();
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        sum = F::add(sum, lanes.keep(exp<F>(F::sub(load(c, lanes), shift)), F::zero()));
      });
      const Vector scale = F::splat(1.0f / F::reduce_add(sum));
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        const Vector y = F::mul(exp<F>(F::sub(load(c, lanes), shift)), scale);
        store_as<F>(type, operands.out, row * n + c, y, lanes);
      });
    });
  }
};

}  // namespace
}  // namespace bookend
