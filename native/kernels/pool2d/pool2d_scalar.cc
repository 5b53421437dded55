#include "kernels/make_row.h"
#include "kernels/pool2d/pool2d_kernel.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

constinit const Pool2dKernel kPool2dScalar =
    make_row<Pool2dKernel, Pool2d<ScalarFloat>>("pool2d.scalar", Isa::scalar);

}  // namespace bookend
