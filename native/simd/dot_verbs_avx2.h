// Verbs of the register micro-kernel for AVX2 with FMA; dot_verbs_scalar.h explains them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bookend {

struct Avx2F32Dot {
  using Element = float;
  using Vector = __m256;
  static constexpr int kWidth = 8, kPack = 1, kHalves = 1;
  static constexpr int kRows = 6, kVectors = 2;

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
  using Vector = __m256;
  static constexpr int kWidth = 8, kPack = 2, kHalves = 2;
  static constexpr int kRows = 6, kVectors = 2;

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

}  // namespace bookend
