#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx512_vnni.h"

namespace bookend {

extern constinit const Probe kProbeAvx512VnniU8 = make_probe<Avx512VnniU8Dot>(Isa::avx512_vnni, DType::u8);

}  // namespace bookend
