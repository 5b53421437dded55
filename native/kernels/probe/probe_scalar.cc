#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_scalar.h"

namespace bookend {

extern constinit const Probe kProbeScalarF32 = make_probe<ScalarF32Dot>(Isa::scalar, DType::f32);
extern constinit const Probe kProbeScalarBf16 = make_probe<ScalarBf16Dot>(Isa::scalar, DType::bf16);

}  // namespace bookend
