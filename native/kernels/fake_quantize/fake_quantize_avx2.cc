#include "kernels/fake_quantize/fake_quantize_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

constinit const FakeQuantizeKernel kFakeQuantizeAvx2 =
    make_row<FakeQuantizeKernel, FakeQuantize<Avx2Float>>("fake_quantize.avx2", Isa::avx2);

}  // namespace bookend
