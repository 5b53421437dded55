#include <immintrin.h>

#include <cstring>

#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx512_vnni_bf16.h"

namespace bookend {
namespace {

// u8 x s8 products summed four at a time in s32: VPDPBUSD.
struct Avx512VnniDot {
  static constexpr int kRows = 6, kVectors = 4, kWidth = 16, kPack = 4, kHalves = 1;
  using Element = std::int8_t;
  using Vector = __m512i;
  static Vector load(const float* lanes) { return _mm512_cvtps_epi32(_mm512_loadu_ps(lanes)); }
  static void store(float* lanes, Vector sums) {
    _mm512_storeu_ps(lanes, _mm512_cvtepi32_ps(sums));
  }
  template <int half>
  static __m512i weights(const Element* from) {
    return _mm512_loadu_si512(from);
  }
  template <int half>
  static __m512i broadcast(const Element* from) {
    std::int32_t four;
    std::memcpy(&four, from, sizeof four);
    return _mm512_set1_epi32(four);
  }
  // Not _mm512_dpbusd_epi32: GCC 12 copies the accumulator before every use of it.
  static Vector dot(Vector sums, __m512i w, __m512i a) {
    asm("vpdpbusd %[w], %[a], %[sums]" : [sums] "+v"(sums) : [w] "v"(w), [a] "v"(a));
    return sums;
  }
};

}  // namespace

extern constinit const Probe kProbeAvx512NativeBf16 =
    make_probe<Avx512NativeBf16Dot>(Isa::avx512_vnni_bf16, DType::bf16);
extern constinit const Probe kProbeAvx512Vnni =
    make_probe<Avx512VnniDot>(Isa::avx512_vnni_bf16, DType::u8);

}  // namespace bookend
