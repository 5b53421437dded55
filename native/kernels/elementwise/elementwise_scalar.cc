#include "kernels/elementwise/binary_kernel.h"
#include "kernels/elementwise/row_kernels.h"
#include "kernels/elementwise/unary_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {

constinit const UnaryKernel kUnaryScalar =
    make_row<UnaryKernel, Unary<ScalarFloat>>("unary.scalar", Isa::scalar);
constinit const BinaryKernel kBinaryScalar =
    make_row<BinaryKernel, Binary<ScalarFloat>>("binary.scalar", Isa::scalar);
constinit const GegluKernel kGegluScalar =
    make_row<GegluKernel, Geglu<ScalarFloat>>("geglu.scalar", Isa::scalar);
constinit const SoftmaxKernel kSoftmaxScalar =
    make_row<SoftmaxKernel, Softmax<ScalarFloat>>("softmax.scalar", Isa::scalar);

}  // namespace bookend
