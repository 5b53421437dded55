#include "kernels/group_norm/group_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

constinit const GroupNormKernel kGroupNormAvx512 =
    make_row<GroupNormKernel, GroupNorm<Avx512Float>>("group_norm.avx512", Isa::avx512);

}  // namespace bookend
