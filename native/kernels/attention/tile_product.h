// The product of attention's tiles: one factor lies in the lanes of `vectors` SIMD vectors, the other
// is broadcast, and the tile of sums stays in registers.
#pragma once

#include <cstdint>

#include "simd/lanes.h"

namespace bookend {
namespace {

template <int n>
struct Count {
  static constexpr int value = n;
};

// Calls body(Count<count>{}) for 1 <= count <= most; larger counts are taken as `most`.
template <int most, class Body>
BOOKEND_VERB void with_count(std::int64_t count, const Body& body) {
  if constexpr (most > 1) {
    if (count < most) return with_count<most - 1>(count, body);
  }
  body(Count<most>{});
}

// Where the broadcast factor of row r and step s lies: r * row_stride + s * step_stride further on.
struct Broadcast {
  const float* first;
  std::int64_t row_stride, step_stride;
};

// sum[r][v] += lanes[step * lane_stride][v] * broadcast[r][step] over all steps.
template <class Product, int rows, int vectors>
BOOKEND_VERB void multiply_tile(typename Product::Vector (&sum)[rows][vectors], const float* lanes,
                                std::int64_t lane_stride, const Broadcast& factor,
                                std::int64_t steps) {
  using F = typename Product::F;
  using Vector = typename F::Vector;
  const float* broadcast = factor.first;
  const std::int64_t row_stride = factor.row_stride;
  for (std::int64_t step = 0; step < steps; ++step) {
    Vector a[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) a[v] = F::hold(F::load(lanes + v * F::width));
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const Vector b = F::splat(broadcast[r * row_stride]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = Product::multiply_add(sum[r][v], a[v], b);
    }
    lanes += lane_stride;
    broadcast += factor.step_stride;
  }
}

template <class F, int rows, int vectors>
BOOKEND_VERB void clear_tile(typename F::Vector (&sum)[rows][vectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[r][v] = F::zero();
  }
}

}  // namespace
}  // namespace bookend
