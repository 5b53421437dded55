#include <array>

#include "addon/decode.h"
#include "kernels/optimizer/optimizer.h"

namespace bookend {
namespace {

std::int64_t count_of(const Fields& fields) { return fields.extent("count"); }

OperandRef floats(const Fields& fields, const DecodeContext& context, const char* name) {
  return operand(fields, context, name, DType::f32, static_cast<std::size_t>(count_of(fields)));
}

}  // namespace

Instruction decode_square_sum(const Fields& fields, const DecodeContext& context) {
  const SquareSumProblem problem{count_of(fields)};
  // A double takes the room of two numbers.
  const OperandRef out = operand(fields, context, "out", DType::f32, 2);
  if (out.offset % sizeof(double) != 0) fields.reject("out", "is not where a double can lie");
  const std::array<OperandRef, 2> refs{floats(fields, context, "x"), out};
  const auto* kernel = chosen(fields, select_square_sum(problem, context.limit));
  return Instruction::make<SquareSumProblem>(kernel, problem, refs);
}

Instruction decode_accumulate(const Fields& fields, const DecodeContext& context) {
  const AccumulateProblem problem{count_of(fields), fields.number("scale"), fields.flag("adds")};
  const std::array<OperandRef, 2> refs{floats(fields, context, "x"),
                                       floats(fields, context, "sum")};
  const auto* kernel = chosen(fields, select_accumulate(problem, context.limit));
  return Instruction::make<AccumulateProblem>(kernel, problem, refs);
}

Instruction decode_adamw(const Fields& fields, const DecodeContext& context) {
  const AdamWProblem problem{count_of(fields), fields.flag("hasAverage")};
  const auto count = static_cast<std::size_t>(problem.count);
  const std::array<OperandRef, 6> refs{
      operand(fields, context, "factors", DType::f32, kAdamWFactors),
      floats(fields, context, "gradient"),
      floats(fields, context, "parameter"),
      floats(fields, context, "first"),
      floats(fields, context, "second"),
      optional_operand(fields, context, "average", problem.has_average, DType::f32, count),
  };
  const auto* kernel = chosen(fields, select_adamw(problem, context.limit));
  return Instruction::make<AdamWProblem>(kernel, problem, refs);
}

}  // namespace bookend
