#include <array>

#include "addon/decode.h"
#include "kernels/attention_gradient/attention_gradient.h"
#include "kernels/norm_gradient/norm_gradient.h"
#include "kernels/sum/sum.h"

namespace bookend {
namespace {

// The operands of a norm's gradient, of `count` elements in `channels` channels.
std::array<OperandRef, 6> norm_operands(const Fields& fields, const DecodeContext& context,
                                        DType type, std::size_t count, std::int64_t channels) {
  const auto width = static_cast<std::size_t>(channels);
  return {
      operand(fields, context, "x", type, count),
      operand(fields, context, "gamma", DType::f32, width),
      operand(fields, context, "gradient", type, count),
      operand(fields, context, "out", type, count),
      operand(fields, context, "gammaGradient", DType::f32, width),
      operand(fields, context, "betaGradient", DType::f32, width),
  };
}

}  // namespace

Instruction decode_layer_norm_gradient(const Fields& fields, const DecodeContext& context) {
  LayerNormGradientProblem problem{};
  problem.rows = fields.extent("rows");
  problem.channels = fields.extent("channels");
  problem.epsilon = fields.number("epsilon");
  problem.type = fields.dtype("type");
  const std::size_t count = checked_product(fields, "x", {problem.rows, problem.channels});
  const auto refs = norm_operands(fields, context, problem.type, count, problem.channels);
  const auto* kernel = chosen(fields, select_layer_norm_gradient(problem, context.limit));
  return Instruction::make<LayerNormGradientProblem>(kernel, problem, refs);
}

Instruction decode_group_norm_gradient(const Fields& fields, const DecodeContext& context) {
  GroupNormGradientProblem problem{};
  problem.batch = fields.extent("batch");
  problem.rows = fields.extent("rows");
  problem.channels = fields.extent("channels");
  problem.groups = fields.extent("groups");
  problem.epsilon = fields.number("epsilon");
  problem.type = fields.dtype("type");
  const std::size_t count =
      checked_product(fields, "x", {problem.batch, problem.rows, problem.channels});
  const auto refs = norm_operands(fields, context, problem.type, count, problem.channels);
  const auto* kernel = chosen(fields, select_group_norm_gradient(problem, context.limit));
  return Instruction::make<GroupNormGradientProblem>(kernel, problem, refs);
}

Instruction decode_attention_gradient(const Fields& fields, const DecodeContext& context) {
  AttentionGradientProblem problem{};
  problem.batch = fields.extent("batch");
  problem.heads = fields.extent("heads");
  problem.queries = fields.extent("queries");
  problem.keys = fields.extent("keys");
  problem.head_dim = fields.extent("headDim");
  problem.scale = fields.number("scale");
  problem.causal = fields.flag("causal");
  problem.type = fields.dtype("type");
  const auto tokens = [&](const char* name, std::int64_t count) {
    return operand(fields, context, name, problem.type,
                   checked_product(fields, name,
                                   {problem.batch, count, problem.heads, problem.head_dim}));
  };
  const std::array<OperandRef, 8> refs{
      tokens("q", problem.queries),        tokens("k", problem.keys),
      tokens("v", problem.keys),           tokens("output", problem.queries),
      tokens("gradient", problem.queries), tokens("queryGradient", problem.queries),
      tokens("keyGradient", problem.keys), tokens("valueGradient", problem.keys),
  };
  const auto* kernel = chosen(fields, select_attention_gradient(problem, context.limit));
  return Instruction::make<AttentionGradientProblem>(kernel, problem, refs);
}

Instruction decode_sum(const Fields& fields, const DecodeContext& context) {
  SumProblem problem{};
  problem.outer = fields.extent("outer");
  problem.count = fields.extent("count");
  problem.inner = fields.extent("inner");
  problem.input = fields.dtype("input");
  problem.output = fields.dtype("output");
  const std::array<OperandRef, 2> refs{
      operand(fields, context, "x", problem.input,
              checked_product(fields, "x", {problem.outer, problem.count, problem.inner})),
      operand(fields, context, "out", problem.output,
              checked_product(fields, "out", {problem.outer, problem.inner})),
  };
  const auto* kernel = chosen(fields, select_sum(problem, context.limit));
  return Instruction::make<SumProblem>(kernel, problem, refs);
}

}  // namespace bookend
