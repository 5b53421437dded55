// The float verbs in plain C++: width 1, no fused multiply-add. Each ISA has a struct of this
// shape; everything in native/kernels that computes in f32 is written over it. All of it lives in
// an anonymous namespace, so that code of one ISA can never be linked into another. `load_part` and
// `store_part` touch only the first `count` lanes, 0 <= count <= width; the lanes beyond read as
// zero. `min` and `max` return their second operand where either is NaN. A store to u8 rounds to the
// nearest integer, ties to even, and saturates to 0 ... 255; NaN becomes 0.
#pragma once

#include "base/types.h"

#define BOOKEND_VERB [[gnu::always_inline]] static inline

namespace bookend {
namespace {

struct ScalarFloat {
  static constexpr int width = 1;
  using Vector = float;

  BOOKEND_VERB Vector splat(float x) { return x; }
  // x, kept in a register: GCC otherwise loads a value anew for each of its uses.
  BOOKEND_VERB Vector hold(Vector x) { return x; }
  BOOKEND_VERB Vector zero() { return 0.0f; }

  BOOKEND_VERB Vector load(const float* p) { return *p; }
  BOOKEND_VERB Vector load(const Bf16* p) { return to_float(*p); }
  BOOKEND_VERB Vector load(const F16* p) { return to_float(*p); }
  BOOKEND_VERB Vector load(const std::int32_t* p) { return static_cast<float>(*p); }
  BOOKEND_VERB Vector load(const std::uint8_t* p) { return static_cast<float>(*p); }
  BOOKEND_VERB void store(float* p, Vector x) { *p = x; }
  BOOKEND_VERB void store(Bf16* p, Vector x) { *p = to_bf16(x); }
  BOOKEND_VERB void store(F16* p, Vector x) { *p = to_f16(x); }
  BOOKEND_VERB void store(std::uint8_t* p, Vector x) {
    *p = static_cast<std::uint8_t>(round(min(max(x, 0.0f), 255.0f)));
  }

  template <class T>
  BOOKEND_VERB Vector load_part(const T* p, int count) {
    return count > 0 ? load(p) : 0.0f;
  }
  template <class T>
  BOOKEND_VERB void store_part(T* p, Vector x, int count) {
    if (count > 0) store(p, x);
  }

  BOOKEND_VERB Vector add(Vector a, Vector b) { return a + b; }
  BOOKEND_VERB Vector sub(Vector a, Vector b) { return a - b; }
  BOOKEND_VERB Vector mul(Vector a, Vector b) { return a * b; }
  BOOKEND_VERB Vector div(Vector a, Vector b) { return a / b; }
  BOOKEND_VERB Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }   // a b + c
  BOOKEND_VERB Vector fnma(Vector a, Vector b, Vector c) { return c - a * b; }  // c - a b
  BOOKEND_VERB Vector max(Vector a, Vector b) { return a > b ? a : b; }
  BOOKEND_VERB Vector min(Vector a, Vector b) { return a < b ? a : b; }
  BOOKEND_VERB Vector abs(Vector a) { return __builtin_fabsf(a); }

  // To the nearest integer, ties to even, for |a| < 2^22.
  BOOKEND_VERB Vector round(Vector a) {
    constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: the last place counts ones
    return (a + kMagic) - kMagic;
  }
  // a * 2^n for integral |n| <= 160, over- and underflowing as the product does.
  BOOKEND_VERB Vector scale_by_power(Vector a, Vector n) {
    const int whole = static_cast<int>(n), half = whole / 2;
    return a * power(half) * power(whole - half);
  }
  // a < b ? yes : no, lane by lane.
  BOOKEND_VERB Vector select_less(Vector a, Vector b, Vector yes, Vector no) {
    return a < b ? yes : no;
  }

  // The first `count` lanes of a, and `other` in the rest.
  BOOKEND_VERB Vector keep(Vector a, int count, Vector other) { return count > 0 ? a : other; }
  // Lane i of row j becomes lane j of row i; lanes are only moved, whatever bits they hold.
  BOOKEND_VERB void transpose(Vector (&)[width]) {}
  BOOKEND_VERB float reduce_add(Vector a) { return a; }
  BOOKEND_VERB float reduce_max(Vector a) { return a; }

 private:
  BOOKEND_VERB float power(int n) {
    const std::uint32_t bits = static_cast<std::uint32_t>(n + 127) << 23;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
  }
};

}  // namespace
}  // namespace bookend
