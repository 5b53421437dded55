#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx2.h"

namespace bookend {
namespace {

// The products are the same in every iteration, so the compiler would compute them once.
struct MeasuredAvx2U8 : Avx2U8Dot {
  static Vector dot(Vector sum, Vector w, Vector a) {
    Vector products;
    asm volatile("vpmaddwd %[a], %[w], %[products]"
                 : [products] "=x"(products)
                 : [a] "x"(a), [w] "x"(w));
    return _mm256_add_epi32(sum, products);
  }
};

}  // namespace

extern constinit const Probe kProbeAvx2F32 = make_probe<Avx2F32Dot>(Isa::avx2, DType::f32);
extern constinit const Probe kProbeAvx2Bf16 = make_probe<Avx2Bf16Dot>(Isa::avx2, DType::bf16);
extern constinit const Probe kProbeAvx2U8 = make_probe<MeasuredAvx2U8>(Isa::avx2, DType::u8);

}  // namespace bookend
