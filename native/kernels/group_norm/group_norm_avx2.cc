#include "kernels/group_norm/group_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

constinit const GroupNormKernel kGroupNormAvx2 =
    make_row<GroupNormKernel, GroupNorm<Avx2Float>>("group_norm.avx2", Isa::avx2);

}  // namespace bookend
