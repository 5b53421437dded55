#include "kernels/make_row.h"
#include "kernels/pool2d/pool2d_kernel.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

constinit const Pool2dKernel kPool2dAvx512VnniBf16 =
    make_row<Pool2dKernel, Pool2d<Avx512Bf16Float>>("pool2d.avx512_vnni_bf16", Isa::avx512_vnni_bf16);

}  // namespace bookend
