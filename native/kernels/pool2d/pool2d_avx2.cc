#include "kernels/make_row.h"
#include "kernels/pool2d/pool2d_kernel.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

constinit const Pool2dKernel kPool2dAvx2 =
    make_row<Pool2dKernel, Pool2d<Avx2Float>>("pool2d.avx2", Isa::avx2);

}  // namespace bookend
