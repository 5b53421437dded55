#include "kernels/elementwise/binary_kernel.h"
#include "kernels/elementwise/row_kernels.h"
#include "kernels/elementwise/unary_kernel.h"
#include "kernels/make_row.h"
#include "simd/float_verbs_avx512_vnni_bf16.h"

namespace bookend {

constinit const UnaryKernel kUnaryAvx512VnniBf16 =
    make_row<UnaryKernel, Unary<Avx512Bf16Float>>("unary.avx512_vnni_bf16", Isa::avx512_vnni_bf16);
constinit const BinaryKernel kBinaryAvx512VnniBf16 =
    make_row<BinaryKernel, Binary<Avx512Bf16Float>>("binary.avx512_vnni_bf16",
                                                    Isa::avx512_vnni_bf16);
constinit const GegluKernel kGegluAvx512VnniBf16 =
    make_row<GegluKernel, Geglu<Avx512Bf16Float>>("geglu.avx512_vnni_bf16", Isa::avx512_vnni_bf16);
constinit const SoftmaxKernel kSoftmaxAvx512VnniBf16 =
    make_row<SoftmaxKernel, Softmax<Avx512Bf16Float>>("softmax.avx512_vnni_bf16",
                                                      Isa::avx512_vnni_bf16);

}  // namespace bookend
