// The float verbs on AVX-512 (F, BW, VL, DQ); see float_verbs_scalar.h for the contract.
#pragma once

#include <immintrin.h>

#include "base/types.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {
namespace {

struct Avx512Float {
  static constexpr int width = 16;
  using Vector = __m512;

  BOOKEND_VERB Vector splat(float x) { return _mm512_set1_ps(x); }
  BOOKEND_VERB Vector hold(Vector x) {
    asm("" : "+v"(x));
    return x;
  }
  BOOKEND_VERB Vector zero() { return _mm512_setzero_ps(); }

  BOOKEND_VERB Vector load(const float* p) { return _mm512_loadu_ps(p); }
  BOOKEND_VERB Vector load(const Bf16* p) { return widen(_mm256_loadu_epi16(p)); }
  BOOKEND_VERB Vector load(const F16* p) { return _mm512_cvtph_ps(_mm256_loadu_epi16(p)); }
  BOOKEND_VERB Vector load(const std::int32_t* p) {
    return _mm512_cvtepi32_ps(_mm512_loadu_epi32(p));
  }
  BOOKEND_VERB Vector load(const std::uint8_t* p) { return from_codes(_mm_loadu_epi8(p)); }
  BOOKEND_VERB void store(float* p, Vector x) { _mm512_storeu_ps(p, x); }
  BOOKEND_VERB void store(Bf16* p, Vector x) { _mm256_storeu_epi16(p, narrow(x)); }
  BOOKEND_VERB void store(F16* p, Vector x) { _mm256_storeu_epi16(p, half(x)); }
  BOOKEND_VERB void store(std::uint8_t* p, Vector x) { _mm_storeu_epi8(p, to_codes(x)); }

  BOOKEND_VERB Vector load_part(const float* p, int count) {
    return _mm512_maskz_loadu_ps(first(count), p);
  }
  BOOKEND_VERB Vector load_part(const Bf16* p, int count) {
    return widen(_mm256_maskz_loadu_epi16(first(count), p));
  }
  BOOKEND_VERB Vector load_part(const F16* p, int count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), p));
  }
  BOOKEND_VERB Vector load_part(const std::int32_t* p, int count) {
    return _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(first(count), p));
  }
  BOOKEND_VERB Vector load_part(const std::uint8_t* p, int count) {
    return from_codes(_mm_maskz_loadu_epi8(first(count), p));
  }
  BOOKEND_VERB void store_part(float* p, Vector x, int count) {
    _mm512_mask_storeu_ps(p, first(count), x);
  }
  BOOKEND_VERB void store_part(Bf16* p, Vector x, int count) {
    _mm256_mask_storeu_epi16(p, first(count), narrow(x));
  }
  BOOKEND_VERB void store_part(F16* p, Vector x, int count) {
    _mm256_mask_storeu_epi16(p, first(count), half(x));
  }
  BOOKEND_VERB void store_part(std::uint8_t* p, Vector x, int count) {
    _mm_mask_storeu_epi8(p, first(count), to_codes(x));
  }

  BOOKEND_VERB Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  BOOKEND_VERB Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  BOOKEND_VERB Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  BOOKEND_VERB Vector div(Vector a, Vector b) { return _mm512_div_ps(a, b); }
  BOOKEND_VERB Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  BOOKEND_VERB Vector fnma(Vector a, Vector b, Vector c) { return _mm512_fnmadd_ps(a, b, c); }
  BOOKEND_VERB Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
  BOOKEND_VERB Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  BOOKEND_VERB Vector abs(Vector a) { return _mm512_abs_ps(a); }
  BOOKEND_VERB Vector round(Vector a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  BOOKEND_VERB Vector scale_by_power(Vector a, Vector n) { return _mm512_scalef_ps(a, n); }
  BOOKEND_VERB Vector select_less(Vector a, Vector b, Vector yes, Vector no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }

  BOOKEND_VERB Vector keep(Vector a, int count, Vector other) {
    return _mm512_mask_blend_ps(first(count), other, a);
  }
  BOOKEND_VERB void transpose(Vector (&rows)[width]) {
    Vector t[width];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {  // 4 x 4 blocks inside each quarter
      const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(rows[i], rows[i + 1]));
      const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(rows[i], rows[i + 1]));
      const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(rows[i + 2], rows[i + 3]));
      const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(rows[i + 2], rows[i + 3]));
      t[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
      t[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
      t[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
      t[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // t[i + 4 j] holds columns i, i + 4, ... of rows 4 j ... 4 j + 3
      const Vector even_low = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
      const Vector even_high = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
      const Vector odd_low = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
      const Vector odd_high = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
      rows[i] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
      rows[i + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
      rows[i + 8] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
      rows[i + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
  }
  BOOKEND_VERB float reduce_add(Vector a) { return _mm512_reduce_add_ps(a); }
  BOOKEND_VERB float reduce_max(Vector a) { return _mm512_reduce_max_ps(a); }

  BOOKEND_VERB __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
  BOOKEND_VERB Vector widen(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  // To bf16, to nearest even; a NaN keeps its upper bits and is made quiet.
  BOOKEND_VERB __m256i narrow(Vector x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i kept =
        _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
  }

 private:
  BOOKEND_VERB __m256i half(Vector x) { return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }
  BOOKEND_VERB Vector from_codes(__m128i codes) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes));
  }
  // What does not fit into 32 bits converts to the largest unsigned integer, which saturates.
  BOOKEND_VERB __m128i to_codes(Vector x) {
    return _mm512_cvtusepi32_epi8(_mm512_cvtps_epu32(max(x, zero())));
  }
};

}  // namespace
}  // namespace bookend
