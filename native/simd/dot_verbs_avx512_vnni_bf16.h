// Verbs of the register micro-kernel for AVX-512 with BF16; dot_verbs_scalar.h explains them.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace bookend {

// vdpbf16ps adds both products of a pair to the f32 accumulator; it flushes subnormal inputs and
// results to zero, whatever MXCSR says.
struct Avx512NativeBf16Dot {
  using Element = std::uint16_t;
  using Sum = float;
  using Vector = __m512;
  static constexpr int kWidth = 16, kPack = 2, kHalves = 1;
  static constexpr int kRows = 6, kVectors = 4;

  static Vector start(const std::int32_t*) { return zero(); }
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
  template <int half>
  static __m512bh weights(const Element* p) {
    return (__m512bh)_mm512_loadu_si512(p);
  }
  template <int half>
  static __m512bh broadcast(const Element* p) {
    std::uint32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(static_cast<int>(pair));
  }
  template <int half>
  static __m512bh broadcast_tail(const Element* p, int) {
    return (__m512bh)_mm512_set1_epi32(*p);
  }
  static Vector dot(Vector sum, __m512bh w, __m512bh a) { return _mm512_dpbf16_ps(sum, w, a); }
};

}  // namespace bookend
