// Vectors of doubles D: the compiler's own vector types, so that sums and products are written with
// operators. `rows` are those of a register tile of matrix products: as many accumulators as fit.
#pragma once

#include <cstdint>

namespace bookend {
namespace {

struct ScalarDouble {
  typedef double Vector __attribute__((vector_size(8)));
  static constexpr int width = 1, rows = 4;
};
struct Avx2Double {
  typedef double Vector __attribute__((vector_size(32)));
  static constexpr int width = 4, rows = 6;
};
struct Avx512Double {
  typedef double Vector __attribute__((vector_size(64)));
  static constexpr int width = 8, rows = 12;
};

template <class D>
[[gnu::always_inline]] inline typename D::Vector load_doubles(const double* p) {
  typename D::Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class D>
[[gnu::always_inline]] inline void store_doubles(double* p, typename D::Vector v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// The sum of a[i] b[i], in four vectors of sums.
template <class D>
double dot(const double* a, const double* b, std::int64_t count) {
  constexpr int kSums = 4;
  typename D::Vector sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums * D::width <= count; i += kSums * D::width) {
    for (int s = 0; s < kSums; ++s) {
      sums[s] += load_doubles<D>(a + i + s * D::width) * load_doubles<D>(b + i + s * D::width);
    }
  }
  const typename D::Vector all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int lane = 0; lane < D::width; ++lane) total += all[lane];
  for (; i < count; ++i) total += a[i] * b[i];
  return total;
}

// y += factor * x
template <class D>
void add_multiple(double factor, const double* x, double* y, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + D::width <= count; i += D::width) {
    store_doubles<D>(y + i, load_doubles<D>(y + i) + factor * load_doubles<D>(x + i));
  }
  for (; i < count; ++i) y[i] += factor * x[i];
}

}  // namespace
}  // namespace bookend
