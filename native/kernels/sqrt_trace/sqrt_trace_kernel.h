// With P^T A P = U^T U, the eigenvalues of A B other than zero are those of the symmetric U P^T B P U^T,
// none of which is negative but by rounding. So neither a square root of a matrix nor the inverse of
// one is needed, and singular matrices only make the problem smaller.
#pragma once

#include "kernels/sqrt_trace/pivoted_cholesky.h"
#include "kernels/sqrt_trace/sqrt_trace.h"
#include "kernels/sqrt_trace/symmetric_eigenvalues.h"

namespace bookend {
namespace {

template <class D>
struct SqrtTrace {
  static const char* refuse(const SqrtTraceProblem&) { return nullptr; }

  static std::size_t scratch_bytes(const SqrtTraceProblem& problem, int threads) {
    const std::int64_t n = problem.n;
    const std::int64_t panels = threads * panel_doubles<D>(deepest(n));
    const std::int64_t doubles = 4 * n * n + 3 * n + work_doubles(n) + panels;
    return static_cast<std::size_t>(doubles) * sizeof(double);
  }

  static void run(const SqrtTraceProblem& problem, const SqrtTraceOperands& operands,
                  const RunContext& context) {
    const std::int64_t n = problem.n;
    ThreadPool& pool = context.pool;
    auto* u = reinterpret_cast<double*>(context.scratch);
    double *turned = u + n * n, *middle = turned + n * n, *product = middle + n * n;
    double *diagonal = product + n * n, *beside = diagonal + n, *work = beside + 2 * n;
    auto* order = reinterpret_cast<std::int64_t*>(beside + n);
    double* panels = work + work_doubles(n);

    for (std::int64_t i = 0; i < n * n; ++i) u[i] = operands.a[i];
    const std::int64_t rank = PivotedCholesky<D>::run(u, n, order, work, panels, pool);
    permute(operands.b, n, order, middle, pool);
    multiply<D, false>({u, middle, product, n, n, n, rank, n, n}, panels, pool);
    turn(u, n, rank, n, turned, rank, pool);
    multiply<D, false>({product, turned, middle, n, rank, rank, rank, rank, n}, panels, pool);
    make_symmetric(middle, rank);
    Tridiagonal<D>::run(middle, rank, diagonal, beside, work, panels, pool);
    tridiagonal_eigenvalues(diagonal, beside, rank);
    double trace = 0;
    for (std::int64_t i = 0; i < rank; ++i) {
      if (!(diagonal[i] <= 0)) trace += __builtin_sqrt(diagonal[i]);
    }
    operands.out[0] = trace;
    operands.out[1] = static_cast<double>(rank);
  }

 private:
  static std::int64_t work_doubles(std::int64_t n) {
    const std::int64_t cholesky = PivotedCholesky<D>::scratch_doubles(n);
    const std::int64_t reduction = Tridiagonal<D>::scratch_doubles(n);
    return cholesky > reduction ? cholesky : reduction;
  }
  static std::int64_t deepest(std::int64_t n) {
    return n > kCholeskyBlock ? n : kCholeskyBlock;
  }

  // out[i, j] = b[order[i], order[j]]
  static void permute(const double* b, std::int64_t n, const std::int64_t* order, double* out,
                      ThreadPool& pool) {
    pool.for_each(n, [&](std::int64_t i, int) {
      const double* row = b + order[i] * n;
      for (std::int64_t j = 0; j < n; ++j) out[i * n + j] = row[order[j]];
    });
  }

  static void make_symmetric(double* a, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        a[i * n + j] = a[j * n + i] = (a[i * n + j] + a[j * n + i]) / 2;
      }
    }
  }
};

}  // namespace
}  // namespace bookend
