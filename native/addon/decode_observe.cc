#include "addon/decode.h"

#include <array>

#include "kernels/observe/observe.h"

namespace bookend {

Instruction decode_observe(const Fields& fields, const DecodeContext& context) {
  ObserveProblem problem{};
  problem.rows = fields.extent("rows");
  problem.channels = fields.extent("channels");
  problem.input = fields.dtype("input");
  const auto channels = static_cast<std::size_t>(problem.channels);
  const std::array<OperandRef, 5> refs{
      operand(fields, context, "x", problem.input,
              checked_product(fields, "x", {problem.rows, problem.channels})),
      operand(fields, context, "histogram", DType::s32, static_cast<std::size_t>(kObserveBins)),
      operand(fields, context, "range", DType::f32, 2),
      operand(fields, context, "sums", DType::f32, channels),
      operand(fields, context, "squares", DType::f32, channels),
  };
  const auto* kernel = chosen(fields, select_observe(problem, context.limit));
  return Instruction::make<ObserveProblem>(kernel, problem, refs);
}

}  // namespace bookend
