// Verbs of the register micro-kernel for AVX-512 with VNNI; dot_verbs_scalar.h explains them.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/byte_quads.h"

namespace bookend {

// VPDPBUSD adds all four products of a step to the s32 accumulator, without saturating.
struct Avx512VnniU8Dot {
  using Element = std::uint8_t;
  using Sum = std::int32_t;
  using Vector = __m512i;
  static constexpr int kWidth = 16, kPack = 4, kHalves = 1;
  static constexpr int kRows = 6, kVectors = 4;

  static Vector start(const std::int32_t* offsets) { return load(offsets); }
  static Vector load(const Sum* p) { return _mm512_loadu_si512(p); }
  static void store(Sum* p, Vector v) { _mm512_storeu_si512(p, v); }
  template <int half>
  static Vector weights(const Element* p) {
    return _mm512_loadu_si512(p);
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return _mm512_set1_epi32(four_bytes(p));
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int count) {
    return _mm512_set1_epi32(tail_bytes(p, count));
  }
  // Not _mm512_dpbusd_epi32: GCC 12 copies the accumulator before every use of it.
  static Vector dot(Vector sum, Vector w, Vector a) {
    asm("vpdpbusd %[w], %[a], %[sum]" : [sum] "+v"(sum) : [w] "v"(w), [a] "v"(a));
    return sum;
  }
};

}  // namespace bookend
