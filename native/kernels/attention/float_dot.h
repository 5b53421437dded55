// How attention multiplies in f32: queries lie in the lanes, keys and values are broadcast. A
// *unit* is what one lane multiplies at a time, always 32 bits wide: here one f32, in Bf16Dot two
// bf16.
#pragma once

#include "simd/float_math.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class Verbs>
struct FloatDot {
  using F = Verbs;
  using Vector = typename F::Vector;
  static constexpr int kGroup = 1;  // elements in a unit
  static constexpr bool kQuantized = false;

  BOOKEND_VERB Vector multiply_add(Vector sum, Vector a, Vector b) { return F::fma(a, b, sum); }
  BOOKEND_VERB Vector exp2(Vector x) { return bookend::exp2<F>(x); }

  // Units of softmax weights, from the weights of kGroup successive keys.
  BOOKEND_VERB Vector pack_weights(const Vector (&weights)[kGroup]) { return weights[0]; }

  // Units of successive elements of one row, of which `elements` exist; the rest are zero.
  template <class T>
  BOOKEND_VERB Vector load_units(const T* row, std::int64_t elements) {
    if (elements >= F::width) return F::load(row);
    return F::load_part(row, static_cast<int>(elements));
  }

  // Units [dim] of the values of kGroup successive keys, of which `keys` exist.
  template <class T>
  static void pack_values(const T* rows, std::int64_t, std::int64_t, std::int64_t dim, float* out) {
    for_lanes<F>(dim, [&](std::int64_t d, const auto& lanes) {
      lanes.store(out + d, lanes.load(rows + d));
    });
  }
};

}  // namespace
}  // namespace bookend
