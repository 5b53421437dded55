#include "addon/decode.h"

#include <array>

#include "kernels/attention/attention.h"

namespace bookend {
namespace {

// Elements from the first to the last of `rows` rows of `width`, `stride` apart.
std::size_t strided_count(const Fields& fields, const char* name, std::int64_t rows,
                          std::int64_t stride, std::int64_t width) {
  if (stride < width) fields.reject(name, "has rows that overlap");
  return checked_product(fields, name, {rows - 1, stride}) + static_cast<std::size_t>(width);
}

}  // namespace

Instruction decode_attention(const Fields& fields, const DecodeContext& context) {
  AttentionProblem problem{};
  problem.batch = fields.extent("batch");
  problem.heads = fields.extent("heads");
  problem.queries = fields.extent("queries");
  problem.keys = fields.extent("keys");
  problem.head_dim = fields.extent("headDim");
  problem.q_stride = fields.extent("qStride");
  problem.k_stride = fields.extent("kStride");
  problem.v_stride = fields.extent("vStride");
  problem.scale = fields.number("scale");
  problem.causal = fields.flag("causal");
  problem.type = fields.dtype("type");
  problem.output = fields.dtype("output");
  const ResultQuantization quantization = read_quantization(fields, problem.output);
  problem.quantize_scale = quantization.scale;
  problem.quantize_zero = quantization.zero;
  problem.scores = fields.choice<AttentionScores>(
      "scores", {{"float", AttentionScores::floats}, {"int8", AttentionScores::int8}});
  const auto width =
      static_cast<std::int64_t>(checked_product(fields, "out", {problem.heads, problem.head_dim}));
  const auto query_rows =
      static_cast<std::int64_t>(checked_product(fields, "q", {problem.batch, problem.queries}));
  const auto key_rows =
      static_cast<std::int64_t>(checked_product(fields, "k", {problem.batch, problem.keys}));
  const std::array<OperandRef, 4> refs{
      operand(fields, context, "q", problem.type,
              strided_count(fields, "q", query_rows, problem.q_stride, width)),
      operand(fields, context, "k", problem.type,
              strided_count(fields, "k", key_rows, problem.k_stride, width)),
      operand(fields, context, "v", problem.type,
              strided_count(fields, "v", key_rows, problem.v_stride, width)),
      operand(fields, context, "out", problem.output,
              checked_product(fields, "out", {query_rows, width})),
  };
  const auto* kernel = chosen(fields, select_attention(problem, context.limit));
  return Instruction::make<AttentionProblem>(kernel, problem, refs);
}

}  // namespace bookend
