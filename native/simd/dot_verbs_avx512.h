// Verbs of the register micro-kernel for AVX-512 (F, BW, VL, DQ); dot_verbs_scalar.h explains them.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace bookend {

struct Avx512F32Dot {
  using Element = float;
  using Vector = __m512;
  static constexpr int kWidth = 16, kPack = 1, kHalves = 1;
  static constexpr int kRows = 6, kVectors = 4;

  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
  template <int half>
  static Vector weights(const Element* p) {
    return _mm512_loadu_ps(p);
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return _mm512_set1_ps(*p);
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int) {
    return broadcast<half>(p);
  }
  static Vector dot(Vector sum, Vector w, Vector a) { return _mm512_fmadd_ps(w, a, sum); }
};

// No BF16 instructions: a bf16 is the upper half of an f32, so a pair widens by a shift and a mask.
struct Avx512Bf16Dot {
  using Element = std::uint16_t;
  using Vector = __m512;
  static constexpr int kWidth = 16, kPack = 2, kHalves = 2;
  static constexpr int kRows = 6, kVectors = 4;

  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
  template <int half>
  static Vector weights(const Element* p) {
    const __m512i pairs = _mm512_loadu_si512(p);
    return _mm512_castsi512_ps(half == 0
                                   ? _mm512_slli_epi32(pairs, 16)
                                   : _mm512_and_si512(pairs, _mm512_set1_epi32(-0x10000)));
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(p[half]) << 16));
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int) {
    return half == 0 ? broadcast<0>(p) : zero();
  }
  static Vector dot(Vector sum, Vector w, Vector a) { return _mm512_fmadd_ps(w, a, sum); }
};

}  // namespace bookend
