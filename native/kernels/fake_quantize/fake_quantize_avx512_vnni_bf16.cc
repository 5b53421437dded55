#include "kernels/fake_quantize/fake_quantize_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

constinit const FakeQuantizeKernel kFakeQuantizeAvx512VnniBf16 =
    make_row<FakeQuantizeKernel, FakeQuantize<Avx512Bf16Float>>("fake_quantize.avx512_vnni_bf16", Isa::avx512_vnni_bf16);

}  // namespace bookend
