// Eigenvalues of symmetric matrices: Householder's reduction to tridiagonal form, whose rank-2 updates
// are gathered into products (Dongarra, Sorensen and Hammarling, "Block reduction of matrices to
// condensed forms", 1989), then implicit QL (G. Golub and C. Van Loan, "Matrix Computations", 2013,
// sections 8.3.1 and 8.3.3).
#pragma once

#include "kernels/sqrt_trace/matrix_product.h"

namespace bookend {
namespace {

constexpr std::int64_t kReductionBlock = 32;

template <class D>
class Tridiagonal {
 public:
  // Doubles that `run` wants beside the panels of products of depth 2 kReductionBlock.
  static constexpr std::int64_t scratch_doubles(std::int64_t n) {
    return n * (4 * kReductionBlock + 1 + kParts);
  }

  // Destroys a [n, n]; fills diagonal [n] and the n - 1 elements beside it.
  static void run(double* a, std::int64_t n, double* diagonal, double* beside, double* scratch,
                  double* panels, ThreadPool& pool) {
    const std::int64_t block = kReductionBlock * n;
    double* vectors = scratch + n;
    Tridiagonal self{a,       n,      diagonal, beside,           scratch,
                     vectors, panels, pool,     vectors + 2 * block, vectors + 4 * block};
    for (std::int64_t first = 0; first < n; first += kReductionBlock) {
      const std::int64_t end = first + kReductionBlock < n ? first + kReductionBlock : n;
      self.reduce(first, end);
      if (end < n) self.update(first, end);
    }
  }

 private:
  static constexpr int kRows = 4;  // that are read at once
  static constexpr std::int64_t kParts = 8;

  // Reflections [first, end): each is 1 - beta v v^T, and takes v w^T + w v^T from the matrix.
  void reduce(std::int64_t first, std::int64_t end) {
    for (std::int64_t k = first; k < end; ++k) {
      for (std::int64_t i = k; i < n; ++i) row[i] = a[k * n + i];
      for (std::int64_t l = first; l < k; ++l) {
        const double *v = v_of(l - first), *w = w_of(l - first);
        add_multiple<D>(-v[k], w + k, row + k, n - k);
        add_multiple<D>(-w[k], v + k, row + k, n - k);
      }
      diagonal[k] = row[k];
      const double beta = reflect(k, v_of(k - first));
      find_update(first, k, beta);
    }
  }

  // The reflection that leaves one element right of the diagonal; v is zero up to it.
  double reflect(std::int64_t k, double* v) {
    for (std::int64_t i = 0; i <= k; ++i) v[i] = 0;
    for (std::int64_t i = k + 1; i < n; ++i) v[i] = row[i];
    if (k + 1 >= n) return 0;
    const std::int64_t at = k + 1;
    const double rest = dot<D>(v + at + 1, v + at + 1, n - at - 1);
    beside[k] = v[at];
    if (rest == 0) return 0;
    const double length = __builtin_sqrt(v[at] * v[at] + rest);
    beside[k] = v[at] > 0 ? -length : length;
    v[at] -= beside[k];
    return 2 / (v[at] * v[at] + rest);
  }

  // w = p - beta / 2 (p^T v) v, with p = beta A v of the matrix as it is by now.
  void find_update(std::int64_t first, std::int64_t k, double beta) {
    const std::int64_t at = k + 1, count = n - at;
    const double* v = v_of(k - first);
    double* w = w_of(k - first);
    for (std::int64_t i = 0; i < n; ++i) w[i] = 0;
    if (beta == 0) {
      for (std::int64_t i = at; i < n; ++i) v_of(k - first)[i] = 0;
      return;
    }
    multiply_symmetric(at, v, w);
    for (std::int64_t l = first; l < k; ++l) {
      const double *other_v = v_of(l - first), *other_w = w_of(l - first);
      const double with_w = dot<D>(other_w + at, v + at, count);
      const double with_v = dot<D>(other_v + at, v + at, count);
      add_multiple<D>(-with_w, other_v + at, w + at, count);
      add_multiple<D>(-with_v, other_w + at, w + at, count);
    }
    const double half = beta / 2 * beta * dot<D>(w + at, v + at, count);
    for (std::int64_t i = at; i < n; ++i) w[i] = beta * w[i] - half * v[i];
  }

  // w = a v in rows and columns from `at` on, reading the lower triangle alone: what is left of the
  // matrix has to come from memory. Parts take blocks of rows in turn, and are added in order.
  void multiply_symmetric(std::int64_t at, const double* v, double* w) {
    const std::int64_t count = n - at;
    pool.for_each(kParts, [&](std::int64_t part, int) {
      double* sums = parts + part * n;
      for (std::int64_t i = at; i < n; ++i) sums[i] = 0;
      for (std::int64_t row = at + part * kRows; row < n; row += kParts * kRows) {
        if (row + kRows <= n) add_rows(at, row, v, sums);
        for (std::int64_t i = row; i < row + kRows && i < n; ++i) {
          // Beside the diagonal, and all of the last few rows.
          const std::int64_t begin = row + kRows <= n ? row : at;
          for (std::int64_t j = begin; j < i; ++j) {
            sums[i] += a[i * n + j] * v[j];
            sums[j] += a[i * n + j] * v[i];
          }
          sums[i] += a[i * n + i] * v[i];
        }
      }
    });
    for (std::int64_t part = 0; part < kParts; ++part) {
      add_multiple<D>(1, parts + part * n + at, w + at, count);
    }
  }

  // What kRows rows from `row` on have in columns [at, row).
  void add_rows(std::int64_t at, std::int64_t row, const double* v, double* sums) {
    using Vector = typename D::Vector;
    const double* rows[kRows];
    Vector along[kRows] = {};
    for (int r = 0; r < kRows; ++r) rows[r] = a + (row + r) * n;
    std::int64_t j = at;
    for (; j + D::width <= row; j += D::width) {
      const Vector x = load_doubles<D>(v + j);
      Vector across = load_doubles<D>(sums + j);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const Vector element = load_doubles<D>(rows[r] + j);
        along[r] += element * x;
        across += element * v[row + r];
      }
      store_doubles<D>(sums + j, across);
    }
    for (int r = 0; r < kRows; ++r) {
      for (int lane = 0; lane < D::width; ++lane) sums[row + r] += along[r][lane];
      for (std::int64_t i = j; i < row; ++i) {
        sums[row + r] += rows[r][i] * v[i];
        sums[i] += rows[r][i] * v[row + r];
      }
    }
  }

  // a -= V W^T + W V^T, both halves of what is left.
  void update(std::int64_t first, std::int64_t end) {
    const std::int64_t left = n - end, used = end - first, depth = 2 * used;
    // Rows of `vectors` are v, then w; turned around, w comes first.
    turn(w_of(0) + end, n, used, left, turned, depth, pool);
    turn(v_of(0) + end, n, used, left, turned + used, depth, pool);
    multiply<D, true>({turned, vectors + end, a + end * n + end, depth, n, n, left, left, depth},
                      panels, pool);
  }

  double* v_of(std::int64_t i) { return vectors + i * n; }
  double* w_of(std::int64_t i) { return vectors + (kReductionBlock + i) * n; }

  double* a;
  std::int64_t n;
  double *diagonal, *beside;
  double* row;      // of the matrix as it is by now
  double* vectors;  // v of each reflection of a block, then w of each
  double* panels;
  ThreadPool& pool;
  double* turned;   // the vectors, turned around
  double* parts;    // of a product with the matrix

  Tridiagonal(double* a, std::int64_t n, double* diagonal, double* beside, double* row,
              double* vectors, double* panels, ThreadPool& pool, double* turned, double* parts)
      : a(a), n(n), diagonal(diagonal), beside(beside), row(row), vectors(vectors),
        panels(panels), pool(pool), turned(turned), parts(parts) {}
};

// Makes of a tridiagonal matrix's diagonal [n] its eigenvalues, in no order; destroys `beside`.
void tridiagonal_eigenvalues(double* diagonal, double* beside, std::int64_t n) {
  constexpr int kMostSweeps = 60;  // two are usual
  for (std::int64_t low = 0; low < n; ++low) {
    for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
      std::int64_t high = low;  // the end of the block that holds together
      for (; high + 1 < n; ++high) {
        const double near = __builtin_fabs(diagonal[high]) + __builtin_fabs(diagonal[high + 1]);
        if (__builtin_fabs(beside[high]) <= 0x1p-53 * near) break;
      }
      if (high + 1 < n) beside[high] = 0;
      if (high == low) break;
      // Wilkinson's shift, then a bulge chased from the bottom of the block to its top.
      const double slope = (diagonal[low + 1] - diagonal[low]) / (2 * beside[low]);
      const double root = __builtin_sqrt(slope * slope + 1);
      const double divisor = slope + (slope < 0 ? -root : root);
      double g = diagonal[high] - diagonal[low] + beside[low] / divisor;
      double sine = 1, cosine = 1, shifted = 0;
      for (std::int64_t i = high - 1; i >= low; --i) {
        const double f = sine * beside[i], h = cosine * beside[i];
        const double length = __builtin_sqrt(f * f + g * g);
        if (i + 1 < high) beside[i + 1] = length;
        if (length == 0) {  // the block falls apart here
          diagonal[i + 1] -= shifted;
          shifted = g = 0;
          break;
        }
        sine = f / length;
        cosine = g / length;
        const double lifted = diagonal[i + 1] - shifted;
        const double turned = (diagonal[i] - lifted) * sine + 2 * cosine * h;
        shifted = sine * turned;
        diagonal[i + 1] = lifted + shifted;
        g = cosine * turned - h;
        if (i == low) {
          diagonal[low] -= shifted;
          beside[low] = g;
        }
      }
    }
  }
}

}  // namespace
}  // namespace bookend
