#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx512_vnni_bf16.h"

namespace bookend {

extern constinit const Probe kProbeAvx512NativeBf16 =
    make_probe<Avx512NativeBf16Dot>(Isa::avx512_vnni_bf16, DType::bf16);

}  // namespace bookend
