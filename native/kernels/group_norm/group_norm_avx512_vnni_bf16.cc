#include "kernels/group_norm/group_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

constinit const GroupNormKernel kGroupNormAvx512VnniBf16 =
    make_row<GroupNormKernel, GroupNorm<Avx512Bf16Float>>("group_norm.avx512_vnni_bf16",
                                                          Isa::avx512_vnni_bf16);

}  // namespace bookend
