#include <array>

#include "addon/decode.h"
#include "kernels/sqrt_trace/sqrt_trace.h"

namespace bookend {
namespace {

constexpr std::int64_t kLargestOrder = 1 << 14;

// A double takes the room of two numbers.
OperandRef doubles(const Fields& fields, const DecodeContext& context, const char* name,
                   std::int64_t count) {
  const OperandRef ref =
      operand(fields, context, name, DType::f32, static_cast<std::size_t>(2 * count));
  if (ref.offset % sizeof(double) != 0) fields.reject(name, "is not where doubles can lie");
  return ref;
}

}  // namespace

Instruction decode_sqrt_trace(const Fields& fields, const DecodeContext& context) {
  const SqrtTraceProblem problem{fields.integer("n", 1, kLargestOrder)};
  const std::int64_t count = problem.n * problem.n;
  const std::array<OperandRef, 3> refs{
      doubles(fields, context, "a", count),
      doubles(fields, context, "b", count),
      doubles(fields, context, "out", kSqrtTraceResults),
  };
  const auto* kernel = chosen(fields, select_sqrt_trace(problem, context.limit));
  return Instruction::make<SqrtTraceProblem>(kernel, problem, refs);
}

}  // namespace bookend
