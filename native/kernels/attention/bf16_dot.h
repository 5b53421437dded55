// How attention multiplies in bf16 with AVX512_BF16: a unit is a pair of bf16, products and sums
// are f32 (VDPBF16PS), softmax weights are rounded to bf16. See float_dot.h.
#pragma once

#include "simd/float_math.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {
namespace {

struct Bf16Dot {
  using F = Avx512Bf16Float;
  using Vector = __m512;
  static constexpr int kGroup = 2;
  static constexpr bool kQuantized = false;

  BOOKEND_VERB Vector multiply_add(Vector sum, Vector a, Vector b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  // 2^x = 2^floor(x) 2^f by a minimax cubic on 0 <= f < 1 with a relative error of 7.5e-5, a
  // fiftieth of a bf16's last place. VREDUCEPS gives f (0 for infinities), VSCALEFPS floors by
  // itself.
  BOOKEND_VERB Vector exp2(Vector x) {
    constexpr float kExp2[] = {0.9999251962f, 0.6958335638f, 0.2260671556f, 0.07802452147f};
    const Vector f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return _mm512_scalef_ps(polynomial<F>(f, kExp2), x);
  }

  BOOKEND_VERB Vector pack_weights(const Vector (&weights)[kGroup]) {
    const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(weights[1], weights[0]));
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9,
                                           24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
                                           16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves));
  }

  BOOKEND_VERB Vector load_units(const Bf16* row, std::int64_t elements) {
    const __mmask32 exist = elements >= 32 ? ~0u : (1u << elements) - 1u;
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(exist, row));
  }

  static void pack_values(const Bf16* rows, std::int64_t stride, std::int64_t keys,
                          std::int64_t dim, float* out) {
    for (std::int64_t d = 0; d < dim; d += 16) {
      const __mmask16 exist = F::first(dim - d < 16 ? static_cast<int>(dim - d) : 16);
      const __mmask16 second = keys > 1 ? exist : 0;
      const __m256i even = _mm256_maskz_loadu_epi16(exist, rows + d);
      const __m256i odd = _mm256_maskz_loadu_epi16(second, rows + stride + d);
      const __m512i pairs = _mm512_or_si512(_mm512_cvtepu16_epi32(even),
                                            _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
      _mm512_mask_storeu_ps(out + d, exist, _mm512_castsi512_ps(pairs));
    }
  }
};

}  // namespace
}  // namespace bookend
