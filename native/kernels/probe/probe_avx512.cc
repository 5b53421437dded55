#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx512.h"

namespace bookend {
namespace {

// The products are the same in every iteration, so the compiler would compute them once.
struct MeasuredAvx512U8 : Avx512U8Dot {
  static Vector dot(Vector sum, Vector w, Vector a) {
    Vector products;
    asm volatile("vpmaddwd %[a], %[w], %[products]"
                 : [products] "=v"(products)
                 : [a] "v"(a), [w] "v"(w));
    return _mm512_add_epi32(sum, products);
  }
};

}  // namespace

extern constinit const Probe kProbeAvx512F32 = make_probe<Avx512F32Dot>(Isa::avx512, DType::f32);
extern constinit const Probe kProbeAvx512Bf16 = make_probe<Avx512Bf16Dot>(Isa::avx512, DType::bf16);
extern constinit const Probe kProbeAvx512U8 = make_probe<MeasuredAvx512U8>(Isa::avx512, DType::u8);

}  // namespace bookend
