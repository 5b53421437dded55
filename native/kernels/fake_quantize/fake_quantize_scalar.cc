#include "kernels/fake_quantize/fake_quantize_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

constinit const FakeQuantizeKernel kFakeQuantizeScalar =
    make_row<FakeQuantizeKernel, FakeQuantize<ScalarFloat>>("fake_quantize.scalar", Isa::scalar);

}  // namespace bookend
