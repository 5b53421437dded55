#include "kernels/elementwise/binary_kernel.h"
#include "kernels/elementwise/row_kernels.h"
#include "kernels/elementwise/unary_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx2.h"

namespace bookend {

constinit const UnaryKernel kUnaryAvx2 =
    make_row<UnaryKernel, Unary<Avx2Float>>("unary.avx2", Isa::avx2);
constinit const BinaryKernel kBinaryAvx2 =
    make_row<BinaryKernel, Binary<Avx2Float>>("binary.avx2", Isa::avx2);
constinit const GegluKernel kGegluAvx2 =
    make_row<GegluKernel, Geglu<Avx2Float>>("geglu.avx2", Isa::avx2);
constinit const SoftmaxKernel kSoftmaxAvx2 =
    make_row<SoftmaxKernel, Softmax<Avx2Float>>("softmax.avx2", Isa::avx2);

}  // namespace bookend
