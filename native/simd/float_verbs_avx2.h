// The float verbs on AVX2 with FMA and F16C; see float_verbs_scalar.h for the contract.
#pragma once

#include <immintrin.h>

#include "base/types.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {
namespace {

struct Avx2Float {
  static constexpr int width = 8;
  using Vector = __m256;

  BOOKEND_VERB Vector splat(float x) { return _mm256_set1_ps(x); }
  BOOKEND_VERB Vector hold(Vector x) {
    asm("" : "+x"(x));
    return x;
  }
  BOOKEND_VERB Vector zero() { return _mm256_setzero_ps(); }

  BOOKEND_VERB Vector load(const float* p) { return _mm256_loadu_ps(p); }
  BOOKEND_VERB Vector load(const Bf16* p) { return widen(load_16bit(p)); }
  BOOKEND_VERB Vector load(const F16* p) { return _mm256_cvtph_ps(load_16bit(p)); }
  BOOKEND_VERB Vector load(const std::int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  BOOKEND_VERB Vector load(const std::uint8_t* p) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes));
  }
  BOOKEND_VERB void store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
  BOOKEND_VERB void store(Bf16* p, Vector x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(x));
  }
  BOOKEND_VERB void store(F16* p, Vector x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  // Clamped as floats: a conversion that does not fit into 32 bits would wrap.
  BOOKEND_VERB void store(std::uint8_t* p, Vector x) {
    const __m256i wide = _mm256_cvtps_epi32(min(max(x, zero()), splat(255.0f)));
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
  }

  BOOKEND_VERB Vector load_part(const float* p, int count) {
    return _mm256_maskload_ps(p, first(count));
  }
  BOOKEND_VERB void store_part(float* p, Vector x, int count) {
    _mm256_maskstore_ps(p, first(count), x);
  }
  // AVX2 masks nothing narrower than 32 bits: those go through memory.
  template <class T>
  BOOKEND_VERB Vector load_part(const T* p, int count) {
    alignas(32) T lanes[width] = {};
    for (int i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  template <class T>
  BOOKEND_VERB void store_part(T* p, Vector x, int count) {
    alignas(32) T lanes[width];
    store(lanes, x);
    for (int i = 0; i < count; ++i) p[i] = lanes[i];
  }

  BOOKEND_VERB Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  BOOKEND_VERB Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  BOOKEND_VERB Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  BOOKEND_VERB Vector div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  BOOKEND_VERB Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  BOOKEND_VERB Vector fnma(Vector a, Vector b, Vector c) { return _mm256_fnmadd_ps(a, b, c); }
  BOOKEND_VERB Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  BOOKEND_VERB Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  BOOKEND_VERB Vector abs(Vector a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  BOOKEND_VERB Vector round(Vector a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // In two factors, so that neither leaves the range of normal numbers before the product does.
  BOOKEND_VERB Vector scale_by_power(Vector a, Vector n) {
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return mul(mul(a, power(half)), power(_mm256_sub_epi32(whole, half)));
  }
  BOOKEND_VERB Vector select_less(Vector a, Vector b, Vector yes, Vector no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }

  BOOKEND_VERB Vector keep(Vector a, int count, Vector other) {
    return _mm256_blendv_ps(other, a, _mm256_castsi256_ps(first(count)));
  }
  BOOKEND_VERB void transpose(Vector (&rows)[width]) {
    Vector t[width];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {  // 4 x 4 blocks inside each half
      const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(rows[i], rows[i + 1]));
      const __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(rows[i], rows[i + 1]));
      const __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(rows[i + 2], rows[i + 3]));
      const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(rows[i + 2], rows[i + 3]));
      t[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
      t[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
      t[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
      t[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
  }
  BOOKEND_VERB float reduce_add(Vector a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  BOOKEND_VERB float reduce_max(Vector a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }

  BOOKEND_VERB Vector widen(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  // To bf16, to nearest even; a NaN keeps its upper bits and is made quiet.
  BOOKEND_VERB __m128i narrow(Vector x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256 is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    const __m256i wide = _mm256_srli_epi32(
        _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(rounded),
                                             _mm256_castsi256_ps(quiet), is_nan)),
        16);
    return _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  }

 private:
  template <class T>
  BOOKEND_VERB __m128i load_16bit(const T* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  BOOKEND_VERB __m256i first(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  BOOKEND_VERB Vector power(__m256i n) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace
}  // namespace bookend
