#include <array>

#include "addon/decode.h"
#include "kernels/fake_quantize/fake_quantize.h"

namespace bookend {

Instruction decode_fake_quantize(const Fields& fields, const DecodeContext& context) {
  using Result = FakeQuantizeResult;
  FakeQuantizeProblem problem{};
  problem.result = fields.choice<Result>("result", {{"value", Result::value},
                                                    {"gradient", Result::gradient},
                                                    {"scaleGradient", Result::scale_gradient},
                                                    {"gradients", Result::gradients}});
  problem.groups = fields.extent("groups");
  problem.count = fields.integer("count", 1, static_cast<std::int64_t>(kLargestBytes));
  problem.lowest = static_cast<float>(fields.integer("lowest", -128, 0));
  problem.highest = static_cast<float>(fields.integer("highest", 1, 255));
  problem.gradient_scale = fields.number("gradientScale");
  problem.input = fields.dtype("input");
  problem.gradient = fields.dtype("gradientType");
  problem.output = fields.dtype("output");
  const auto groups = static_cast<std::size_t>(problem.groups);
  const std::size_t all = checked_product(fields, "x", {problem.groups, problem.count});
  const std::array<OperandRef, 6> refs{
      operand(fields, context, "x", problem.input, all),
      operand(fields, context, "scale", DType::f32, groups),
      optional_operand(fields, context, "zero", fields.flag("hasZero"), DType::f32, groups),
      optional_operand(fields, context, "gradient", problem.result != Result::value,
                       problem.gradient, all),
      optional_operand(fields, context, "out", problem.of_x(), problem.output, all),
      optional_operand(fields, context, "scaleGradient", problem.of_scale(), DType::f32, groups),
  };
  const auto* kernel = chosen(fields, select_fake_quantize(problem, context.limit));
  return Instruction::make<FakeQuantizeProblem>(kernel, problem, refs);
}

}  // namespace bookend
