// How attention multiplies queries and keys in 8 bits with AVX512_VNNI, after Zhang et al.,
// "SageAttention", arXiv 2410.02367. Both are quantized on the fly: a query is s8 with a scale of
// its own, keys are u8 codes with zero point 128 and a scale for each block of keys. Softmax does
// not notice when the same number is subtracted from all scores of a query, so the mean of all keys
// is subtracted from each before: keys have much in common. Scores are sums of u8 x s8 in s32,
// exact, that start at -128 times the sum of the query's codes.
#pragma once

#include "base/types.h"
#include "simd/float_verbs_avx512.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class Verbs>
struct Int8Scores {
  using F = Verbs;
  using Vector = __m512;
  static constexpr int kGroup = 4;
  static constexpr bool kQuantized = true;

  // Written as an instruction, since GCC 12 copies every sum of the intrinsic's integer type.
  BOOKEND_VERB Vector multiply_add(Vector sum, Vector queries, Vector keys) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(keys), "v"(queries));
    return sum;
  }
  BOOKEND_VERB Vector to_float(Vector sum) {
    return _mm512_cvtepi32_ps(_mm512_castps_si512(sum));
  }

  // What sums of a tile start at: -128 times the sums over its queries' codes, `depth` units
  // `stride` floats apart.
  static Vector start(const float* queries, std::int64_t depth, std::int64_t stride) {
    const Vector zero_points = _mm512_castsi512_ps(_mm512_set1_epi8(static_cast<char>(0x80)));
    Vector sum = F::zero();
    for (std::int64_t unit = 0; unit < depth; ++unit) {
      sum = multiply_add(sum, F::load(queries + unit * stride), zero_points);
    }
    return _mm512_castsi512_ps(
        _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_castps_si512(sum)));
  }

  // The largest magnitude of a query.
  static float largest(const Bf16* row, std::int64_t dim) {
    Vector most = F::zero();
    for_lanes<F>(dim, [&](std::int64_t d, const auto& lanes) {
      most = F::max(most, F::abs(lanes.load(row + d)));
    });
    return F::reduce_max(most);
  }

  // Units of successive codes x * inverse of a query, of which `elements` exist; the rest are zero.
  static Vector load_units(const Bf16* row, std::int64_t elements, float inverse) {
    alignas(64) std::uint8_t codes[64];
    for (std::int64_t i = 0; i < 64; i += F::width) {
      const std::int64_t left = elements - i;
      const int count = left < 0 ? 0 : left < F::width ? static_cast<int>(left) : F::width;
      const Vector x = F::load_part(row + (count > 0 ? i : 0), count);
      F::store(codes + i, F::fma(x, F::splat(inverse), F::splat(128.0f)));
    }
    const __m512i flipped = _mm512_xor_si512(_mm512_load_si512(codes),
                                             _mm512_set1_epi8(static_cast<char>(0x80)));
    return _mm512_castsi512_ps(flipped);
  }

  // Codes of all keys of a head, rows of `row_bytes`; bytes beyond dim are left as they are, since
  // they meet zeros. Each block of `block` keys has its scale in `scales`; `mean` is scratch.
  static void pack_keys(const Bf16* keys, std::int64_t stride, std::int64_t count,
                        std::int64_t dim, std::int64_t block, std::int64_t row_bytes,
                        std::uint8_t* out, float* scales, float* mean) {
    average(keys, stride, count, dim, mean);
    for (std::int64_t begin = 0; begin < count; begin += block) {
      const std::int64_t end = begin + block < count ? begin + block : count;
      Vector most = F::zero();
      for (std::int64_t key = begin; key < end; ++key) {
        for_lanes<F>(dim, [&](std::int64_t d, const auto& lanes) {
          const Vector x = F::sub(lanes.load(keys + key * stride + d), lanes.load(mean + d));
          most = F::max(most, F::abs(x));
        });
      }
      const float largest = F::reduce_max(most);
      scales[begin / block] = largest / 127.0f;
      const Vector inverse = F::splat(largest > 0.0f ? 127.0f / largest : 0.0f);
      for (std::int64_t key = begin; key < end; ++key) {
        for_lanes<F>(dim, [&](std::int64_t d, const auto& lanes) {
          const Vector x = F::sub(lanes.load(keys + key * stride + d), lanes.load(mean + d));
          lanes.store(out + key * row_bytes + d, F::fma(x, inverse, F::splat(128.0f)));
        });
      }
    }
  }

 private:
  static void average(const Bf16* keys, std::int64_t stride, std::int64_t count, std::int64_t dim,
                      float* mean) {
    const Vector share = F::splat(1.0f / static_cast<float>(count));
    for_lanes<F>(dim, [&](std::int64_t d, const auto& lanes) {
      Vector sum = F::zero();
      for (std::int64_t key = 0; key < count; ++key) {
        sum = F::add(sum, lanes.load(keys + key * stride + d));
      }
      lanes.store(mean + d, F::mul(sum, share));
    });
  }
};

}  // namespace
}  // namespace bookend
