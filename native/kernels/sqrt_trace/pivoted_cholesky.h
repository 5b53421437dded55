// Cholesky decomposition of positive semidefinite matrices, with complete pivoting: what is left when
// the largest pivot is rounding error is left out, so that singular matrices are no exception (N.
// Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 10.3; blocked as there).
#pragma once

#include "kernels/sqrt_trace/matrix_product.h"

namespace bookend {
namespace {

constexpr std::int64_t kCholeskyBlock = 64;

template <class D>
class PivotedCholesky {
 public:
  // Doubles that `run` wants beside the panels of products of depth kCholeskyBlock.
  static constexpr std::int64_t scratch_doubles(std::int64_t n) { return n * (kCholeskyBlock + 1); }

  // Makes of the symmetric a [n, n] the rows of an upper triangular u, with a[p_i, p_j] = (u^T u)[i, j],
  // zeros below the diagonal; fills p (`order`). Returns the rank, the number of rows of u.
  static std::int64_t run(double* a, std::int64_t n, std::int64_t* order, double* scratch,
                          double* panels, ThreadPool& pool) {
    PivotedCholesky self{a, n, order, scratch, scratch + n, panels, pool};
    return self.decompose();
  }

 private:
  std::int64_t decompose() {
    double largest = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      order[i] = i;
      if (at(i, i) > largest) largest = at(i, i);
    }
    const double negligible = static_cast<double>(n) * 0x1p-53 * largest;
    std::int64_t rank = n;
    for (std::int64_t first = 0; first < rank; first += kCholeskyBlock) {
      const std::int64_t end = first + kCholeskyBlock < n ? first + kCholeskyBlock : n;
      rank = eliminate(first, end, negligible);
      if (rank == n && end < n) subtract_block(first, end);
    }
    clear_below(rank);
    return rank;
  }

  // Rows [first, end) of u; gives the rank if it shows here, else n.
  std::int64_t eliminate(std::int64_t first, std::int64_t end, double negligible) {
    for (std::int64_t i = first; i < n; ++i) found[i] = 0;
    for (std::int64_t row = first; row < end; ++row) {
      std::int64_t pivot = row;
      for (std::int64_t i = row; i < n; ++i) {
        if (row > first) found[i] += at(row - 1, i) * at(row - 1, i);
        if (at(i, i) - found[i] > at(pivot, pivot) - found[pivot]) pivot = i;
      }
      const double rest = at(pivot, pivot) - found[pivot];
      if (!(rest > negligible)) return row;
      exchange(row, pivot);
      const double root = __builtin_sqrt(rest);
      double* u = a + row * n;
      for (std::int64_t k = first; k < row; ++k) {
        add_multiple<D>(-at(k, row), a + k * n + row + 1, u + row + 1, n - row - 1);
      }
      u[row] = root;
      for (std::int64_t i = row + 1; i < n; ++i) u[i] /= root;
    }
    return n;
  }

  // Rows and columns of what is left, columns of what is done.
  void exchange(std::int64_t i, std::int64_t j) {
    if (i == j) return;
    for (std::int64_t c = 0; c < n; ++c) swap(at(i, c), at(j, c));
    for (std::int64_t r = 0; r < n; ++r) swap(at(r, i), at(r, j));
    swap(order[i], order[j]);
    swap(found[i], found[j]);
  }

  // From what is left, both halves of it.
  void subtract_block(std::int64_t first, std::int64_t end) {
    const std::int64_t left = n - end, depth = end - first;
    const double* u = a + first * n + end;
    turn(u, n, depth, left, turned, depth, pool);
    multiply<D, true>({turned, u, a + end * n + end, depth, n, n, left, left, depth}, panels, pool);
  }

  void clear_below(std::int64_t rank) {
    for (std::int64_t r = 0; r < n; ++r) {
      const std::int64_t zeros = r < rank ? r : n;
      for (std::int64_t c = 0; c < zeros; ++c) at(r, c) = 0;
    }
  }

  double& at(std::int64_t row, std::int64_t column) { return a[row * n + column]; }
  template <class T>
  static void swap(T& x, T& y) {
    const T kept = x;
    x = y;
    y = kept;
  }

  double* a;
  std::int64_t n;
  std::int64_t* order;
  double* found;   // of each diagonal element: what the block's rows account for
  double* turned;  // a block of u, turned around
  double* panels;
  ThreadPool& pool;

  PivotedCholesky(double* a, std::int64_t n, std::int64_t* order, double* found, double* turned,
                  double* panels, ThreadPool& pool)
      : a(a), n(n), order(order), found(found), turned(turned), panels(panels), pool(pool) {}
};

}  // namespace
}  // namespace bookend
