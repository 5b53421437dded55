// Verbs of the register micro-kernel for AVX2 with FMA; dot_verbs_scalar.h explains them.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/byte_quads.h"

namespace bookend {

struct Avx2F32Dot {
  using Element = float;
  using Sum = float;
  using Vector = __m256;
  static constexpr int kWidth = 8, kPack = 1, kHalves = 1;
  static constexpr int kRows = 6, kVectors = 2;

  static Vector start(const std::int32_t*) { return zero(); }
  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
  template <int half>
  static Vector weights(const Element* p) {
    return _mm256_loadu_ps(p);
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return _mm256_broadcast_ss(p);
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int) {
    return broadcast<half>(p);
  }
  static Vector dot(Vector sum, Vector w, Vector a) { return _mm256_fmadd_ps(w, a, sum); }
};

struct Avx2Bf16Dot {
  using Element = std::uint16_t;
  using Sum = float;
  using Vector = __m256;
  static constexpr int kWidth = 8, kPack = 2, kHalves = 2;
  static constexpr int kRows = 6, kVectors = 2;

  static Vector start(const std::int32_t*) { return zero(); }
  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
  template <int half>
  static Vector widen(__m256i pairs) {
    return _mm256_castsi256_ps(half == 0
                                   ? _mm256_slli_epi32(pairs, 16)
                                   : _mm256_and_si256(pairs, _mm256_set1_epi32(-0x10000)));
  }
  template <int half>
  static Vector weights(const Element* p) {
    return widen<half>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_broadcastd_epi32(_mm_cvtsi32_si128(p[half])), 16));
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int) {
    return half == 0 ? broadcast<0>(p) : zero();
  }
  static Vector dot(Vector sum, Vector w, Vector a) { return _mm256_fmadd_ps(w, a, sum); }
};

// Exact without VNNI: the even and the odd bytes widen to 16 bits, whose products VPMADDWD sums in
// pairs. VPMADDUBSW would take the bytes as they are, but saturates such a sum.
struct Avx2U8Dot {
  using Element = std::uint8_t;
  using Sum = std::int32_t;
  using Vector = __m256i;
  static constexpr int kWidth = 8, kPack = 4, kHalves = 2;
  static constexpr int kRows = 6, kVectors = 2;

  static Vector start(const std::int32_t* offsets) { return load(offsets); }
  static Vector load(const Sum* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static void store(Sum* p, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  template <int half>
  static Vector weights(const Element* p) {
    const Vector bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_srai_epi16(half == 0 ? _mm256_slli_epi16(bytes, 8) : bytes, 8);
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return widen<half>(_mm256_set1_epi32(four_bytes(p)));
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int count) {
    return widen<half>(_mm256_set1_epi32(tail_bytes(p, count)));
  }
  static Vector dot(Vector sum, Vector w, Vector a) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(w, a));
  }

 private:
  template <int half>
  static Vector widen(Vector bytes) {
    return half == 0 ? _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)) : _mm256_srli_epi16(bytes, 8);
  }
};

}  // namespace bookend
