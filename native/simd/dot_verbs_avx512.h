// Verbs of the register micro-kernel for AVX-512 (F, BW, VL, DQ); dot_verbs_scalar.h explains them.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "simd/byte_quads.h"

namespace bookend {

struct Avx512F32Dot {
  using Element = float;
  using Sum = float;
  using Vector = __m512;
  static constexpr int kWidth = 16, kPack = 1, kHalves = 1;
  static constexpr int kRows = 6, kVectors = 4;

  static Vector start(const std::int32_t*) { return zero(); }
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
  using Sum = float;
  using Vector = __m512;
  static constexpr int kWidth = 16, kPack = 2, kHalves = 2;
  static constexpr int kRows = 6, kVectors = 4;

  static Vector start(const std::int32_t*) { return zero(); }
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

// Exact without VNNI: the even and the odd bytes widen to 16 bits, whose products VPMADDWD sums in
// pairs. VPMADDUBSW would take the bytes as they are, but saturates such a sum.
struct Avx512U8Dot {
  using Element = std::uint8_t;
  using Sum = std::int32_t;
  using Vector = __m512i;
  static constexpr int kWidth = 16, kPack = 4, kHalves = 2;
  static constexpr int kRows = 6, kVectors = 4;

  static Vector start(const std::int32_t* offsets) { return load(offsets); }
  static Vector load(const Sum* p) { return _mm512_loadu_si512(p); }
  static void store(Sum* p, Vector v) { _mm512_storeu_si512(p, v); }
  template <int half>
  static Vector weights(const Element* p) {
    const Vector bytes = _mm512_loadu_si512(p);
    return _mm512_srai_epi16(half == 0 ? _mm512_slli_epi16(bytes, 8) : bytes, 8);
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return widen<half>(_mm512_set1_epi32(four_bytes(p)));
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int count) {
    return widen<half>(_mm512_set1_epi32(tail_bytes(p, count)));
  }
  static Vector dot(Vector sum, Vector w, Vector a) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(w, a));
  }

 private:
  template <int half>
  static Vector widen(Vector bytes) {
    return half == 0 ? _mm512_and_si512(bytes, _mm512_set1_epi16(0xff)) : _mm512_srli_epi16(bytes, 8);
  }
};

}  // namespace bookend
