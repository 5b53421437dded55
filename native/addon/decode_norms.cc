#include "addon/decode.h"

#include <array>

#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"

namespace bookend {

Instruction decode_group_norm(const Fields& fields, const DecodeContext& context) {
  GroupNormProblem problem{};
  problem.batch = fields.extent("batch");
  problem.rows = fields.extent("rows");
  problem.channels = fields.extent("channels");
  problem.skip_channels = fields.integer("skipChannels", 0, kLargestExtent);
  problem.groups = fields.extent("groups");
  problem.epsilon = fields.number("epsilon");
  problem.input = fields.dtype("input");
  problem.output = fields.dtype("output");
  const ResultQuantization quantization = read_quantization(fields, problem.output);
  problem.quantize_scale = quantization.scale;
  problem.quantize_zero = quantization.zero;
  problem.activation = fields.activation("activation");
  if (fields.has("split")) {
    problem.split = fields.choice<GroupNormSplit>(
        "split", {{"groups", GroupNormSplit::groups}, {"channels", GroupNormSplit::channels}});
  }
  const std::int64_t all = problem.channels + problem.skip_channels;
  if (all % problem.groups != 0) {
    fields.reject("groups", "does not divide " + std::to_string(all) + " channels");
  }
  const auto count = [&](const char* name, std::int64_t channels) {
    return checked_product(fields, name, {problem.batch, problem.rows, channels});
  };
  const std::array<OperandRef, 5> refs{
      operand(fields, context, "x", problem.input, count("x", problem.channels)),
      optional_operand(fields, context, "skip", problem.skip_channels > 0, problem.input,
                       count("skip", problem.skip_channels)),
      operand(fields, context, "gamma", DType::f32, static_cast<std::size_t>(all)),
      operand(fields, context, "beta", DType::f32, static_cast<std::size_t>(all)),
      operand(fields, context, "out", problem.output, count("out", all)),
  };
  const auto* kernel = chosen(fields, select_group_norm(problem, context.limit));
  return Instruction::make<GroupNormProblem>(kernel, problem, refs);
}

Instruction decode_layer_norm(const Fields& fields, const DecodeContext& context) {
  LayerNormProblem problem{};
  problem.rows = fields.extent("rows");
  problem.channels = fields.extent("channels");
  problem.epsilon = fields.number("epsilon");
  problem.input = fields.dtype("input");
  problem.output = fields.dtype("output");
  const ResultQuantization quantization = read_quantization(fields, problem.output);
  problem.quantize_scale = quantization.scale;
  problem.quantize_zero = quantization.zero;
  const std::size_t count = checked_product(fields, "x", {problem.rows, problem.channels});
  const auto channels = static_cast<std::size_t>(problem.channels);
  const std::array<OperandRef, 4> refs{
      operand(fields, context, "x", problem.input, count),
      operand(fields, context, "gamma", DType::f32, channels),
      operand(fields, context, "beta", DType::f32, channels),
      operand(fields, context, "out", problem.output, count),
  };
  const auto* kernel = chosen(fields, select_layer_norm(problem, context.limit));
  return Instruction::make<LayerNormProblem>(kernel, problem, refs);
}

}  // namespace bookend
