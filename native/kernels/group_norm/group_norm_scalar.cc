#include "kernels/group_norm/group_norm_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

constinit const GroupNormKernel kGroupNormScalar =
    make_row<GroupNormKernel, GroupNorm<ScalarFloat>>("group_norm.scalar", Isa::scalar);

}  // namespace bookend
