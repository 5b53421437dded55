#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_avx2_vnni.h"

namespace bookend {

extern constinit const Probe kProbeAvx2VnniU8 = make_probe<Avx2VnniU8Dot>(Isa::avx2_vnni, DType::u8);

}  // namespace bookend
