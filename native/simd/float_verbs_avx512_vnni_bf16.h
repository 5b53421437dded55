// The float verbs where AVX512_BF16 rounds to bf16 in one instruction. VCVTNEPS2BF16 flushes
// denormal results to zero, which 2^-126 an activation can bear.
#pragma once

#include "simd/float_verbs_avx512.h"

namespace bookend {
namespace {

struct Avx512Bf16Float : Avx512Float {
  using Avx512Float::store;
  using Avx512Float::store_part;

  BOOKEND_VERB __m256i narrow(Vector x) {
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
  }
  BOOKEND_VERB void store(Bf16* p, Vector x) { _mm256_storeu_epi16(p, narrow(x)); }
  BOOKEND_VERB void store_part(Bf16* p, Vector x, int count) {
    _mm256_mask_storeu_epi16(p, first(count), narrow(x));
  }
};

}  // namespace
}  // namespace bookend
