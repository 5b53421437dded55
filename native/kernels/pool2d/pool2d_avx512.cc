#include "kernels/make_row.h"
#include "kernels/pool2d/pool2d_kernel.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

constinit const Pool2dKernel kPool2dAvx512 =
    make_row<Pool2dKernel, Pool2d<Avx512Float>>("pool2d.avx512", Isa::avx512);

}  // namespace bookend
