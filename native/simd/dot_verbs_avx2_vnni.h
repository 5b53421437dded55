// Verbs of the register micro-kernel for AVX2 with AVX-VNNI; dot_verbs_scalar.h explains them.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/byte_quads.h"

namespace bookend {

// VPDPBUSD adds all four products of a step to the s32 accumulator, without saturating.
struct Avx2VnniU8Dot {
  using Element = std::uint8_t;
  using Sum = std::int32_t;
  using Vector = __m256i;
  static constexpr int kWidth = 8, kPack = 4, kHalves = 1;
  static constexpr int kRows = 6, kVectors = 2;

  static Vector start(const std::int32_t* offsets) { return load(offsets); }
  static Vector load(const Sum* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static void store(Sum* p, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  template <int half>
  static Vector weights(const Element* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return _mm256_set1_epi32(four_bytes(p));
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int count) {
    return _mm256_set1_epi32(tail_bytes(p, count));
  }
  // Not _mm256_dpbusd_avx_epi32: GCC 12 copies the accumulator before every use of it.
  static Vector dot(Vector sum, Vector w, Vector a) {
    asm("%{vex%} vpdpbusd %[w], %[a], %[sum]" : [sum] "+x"(sum) : [w] "x"(w), [a] "x"(a));
    return sum;
  }
};

}  // namespace bookend
