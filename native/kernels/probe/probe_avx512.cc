#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx512.h"

namespace bookend {

extern constinit const Probe kProbeAvx512F32 = make_probe<Avx512F32Dot>(Isa::avx512, DType::f32);
extern constinit const Probe kProbeAvx512Bf16 = make_probe<Avx512Bf16Dot>(Isa::avx512, DType::bf16);

}  // namespace bookend
