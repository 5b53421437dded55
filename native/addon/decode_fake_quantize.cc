#include <array>

#include "addon/decode.h"
#include "kernels/fake_quantize/fake_quantize.h"

namespace bookend {

Instruction decode_fake_quantize(const Fields& fields, const DecodeContext& context) {
  using Result = FakeQuantizeResult;
  FakeQuantizeProblem problem{};
  problem.result = fields.choice<Result>("result", {{"value", Result::value},
                                                    {"gradient", Result::gradient},
                                                    {"scaleGradient", Result::scale_gradient}});
  problem.groups = fields.extent("groups");
  problem.count = fields.integer("count", 1, static_cast<std::int64_t>(kLargestBytes));
  problem.lowest = static_cast<float>(fields.integer("lowest", -128, 0));
  problem.highest = static_cast<float>(fields.integer("highest", 1, 255));
  problem.gradient_scale = fields.number("gradientScale");
  problem.type = fields.dtype("type");
  const auto groups = static_cast<std::size_t>(problem.groups);
  const std::size_t all = checked_product(fields, "x", {problem.groups, problem.count});
  const bool of_scale = problem.result == Result::scale_gradient;
  const std::array<OperandRef, 5> refs{
      operand(fields, context, "x", problem.type, all),
      operand(fields, context, "scale", DType::f32, groups),
      optional_operand(fields, context, "zero", fields.flag("hasZero"), DType::f32, groups),
      optional_operand(fields, context, "gradient", problem.result != Result::value, problem.type,
                       all),
      operand(fields, context, "out", of_scale ? DType::f32 : problem.type,
              of_scale ? groups : all),
  };
  const auto* kernel = chosen(fields, select_fake_quantize(problem, context.limit));
  return Instruction::make<FakeQuantizeProblem>(kernel, problem, refs);
}

}  // namespace bookend
