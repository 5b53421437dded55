#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx2.h"

namespace bookend {

extern constinit const Probe kProbeAvx2F32 = make_probe<Avx2F32Dot>(Isa::avx2, DType::f32);
extern constinit const Probe kProbeAvx2Bf16 = make_probe<Avx2Bf16Dot>(Isa::avx2, DType::bf16);

}  // namespace bookend
