#include "kernels/fake_quantize/fake_quantize_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

constinit const FakeQuantizeKernel kFakeQuantizeAvx512 =
    make_row<FakeQuantizeKernel, FakeQuantize<Avx512Float>>("fake_quantize.avx512", Isa::avx512);

}  // namespace bookend
