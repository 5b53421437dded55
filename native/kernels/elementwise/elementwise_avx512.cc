#include "kernels/elementwise/binary_kernel.h"
#include "kernels/elementwise/row_kernels.h"
#include "kernels/elementwise/unary_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512.h"

namespace bookend {

constinit const UnaryKernel kUnaryAvx512 =
    make_row<UnaryKernel, Unary<Avx512Float>>("unary.avx512", Isa::avx512);
constinit const BinaryKernel kBinaryAvx512 =
    make_row<BinaryKernel, Binary<Avx512Float>>("binary.avx512", Isa::avx512);
constinit const GegluKernel kGegluAvx512 =
    make_row<GegluKernel, Geglu<Avx512Float>>("geglu.avx512", Isa::avx512);
constinit const SoftmaxKernel kSoftmaxAvx512 =
    make_row<SoftmaxKernel, Softmax<Avx512Float>>("softmax.avx512", Isa::avx512);

}  // namespace bookend
