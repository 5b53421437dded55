#include "addon/decode.h"

#include <algorithm>
#include <array>

#include "kernels/copy/copy.h"
#include "kernels/embedding/embedding.h"

namespace bookend {
namespace {

// One past the last element that `offset` and the strides reach.
std::size_t reach(const Fields& fields, const char* name, std::int64_t offset,
                  const std::int64_t* extent, const std::int64_t* stride) {
  auto last = static_cast<std::size_t>(offset);
  for (int axis = 0; axis < CopyProblem::kAxes; ++axis) {
    last += checked_product(fields, name, {extent[axis] - 1, stride[axis]});
  }
  return last + 1;
}

}  // namespace

Instruction decode_copy(const Fields& fields, const DecodeContext& context) {
  CopyProblem problem{};
  const auto extent = fields.integers("extent", CopyProblem::kAxes);
  const auto x_stride = fields.integers("xStride", CopyProblem::kAxes);
  const auto out_stride = fields.integers("outStride", CopyProblem::kAxes);
  for (const std::int64_t size : extent) {
    if (size < 1) fields.reject("extent", "has an empty axis");
  }
  std::copy(extent.begin(), extent.end(), problem.extent);
  std::copy(x_stride.begin(), x_stride.end(), problem.x_stride);
  std::copy(out_stride.begin(), out_stride.end(), problem.out_stride);
  const auto most = static_cast<std::int64_t>(kLargestBytes);
  problem.x_offset = fields.integer("xOffset", 0, most);
  problem.out_offset = fields.integer("outOffset", 0, most);
  problem.type = fields.dtype("type");
  const std::size_t turns = checked_product(
      fields, "extent", {extent[0], extent[1], extent[2], extent[3], extent[4], extent[5]});
  const std::size_t out_end =
      reach(fields, "out", problem.out_offset, problem.extent, problem.out_stride);
  if (turns > out_end - static_cast<std::size_t>(problem.out_offset)) {
    fields.reject("outStride", "leads to the same element more than once");
  }
  const std::array<OperandRef, 2> refs{
      operand(fields, context, "x", problem.type,
              reach(fields, "x", problem.x_offset, problem.extent, problem.x_stride)),
      operand(fields, context, "out", problem.type, out_end),
  };
  const auto* kernel = chosen(fields, select_copy(problem, context.limit));
  return Instruction::make<CopyProblem>(kernel, problem, refs);
}

Instruction decode_embedding(const Fields& fields, const DecodeContext& context) {
  EmbeddingProblem problem{};
  problem.count = fields.extent("count");
  problem.rows = fields.extent("rows");
  problem.width = fields.extent("width");
  problem.table_type = fields.dtype("tableType");
  problem.output = fields.dtype("output");
  const std::array<OperandRef, 3> refs{
      operand(fields, context, "ids", DType::s32, static_cast<std::size_t>(problem.count)),
      operand(fields, context, "table", problem.table_type,
              checked_product(fields, "table", {problem.rows, problem.width})),
      operand(fields, context, "out", problem.output,
              checked_product(fields, "out", {problem.count, problem.width})),
  };
  const auto* kernel = chosen(fields, select_embedding(problem, context.limit));
  return Instruction::make<EmbeddingProblem>(kernel, problem, refs);
}

Instruction decode_timestep_embedding(const Fields& fields, const DecodeContext& context) {
  TimestepEmbeddingProblem problem{};
  problem.count = fields.extent("count");
  problem.dim = fields.extent("dim");
  problem.cosine_first = fields.flag("cosineFirst");
  problem.frequency_shift = fields.number("frequencyShift");
  problem.max_period = fields.number("maxPeriod");
  const std::array<OperandRef, 2> refs{
      operand(fields, context, "timesteps", DType::f32, static_cast<std::size_t>(problem.count)),
      operand(fields, context, "out", DType::f32,
              checked_product(fields, "out", {problem.count, problem.dim})),
  };
  const auto* kernel = chosen(fields, select_timestep_embedding(problem, context.limit));
  return Instruction::make<TimestepEmbeddingProblem>(kernel, problem, refs);
}

}  // namespace bookend
