#include "addon/decode.h"

#include <algorithm>
#include <array>

#include "kernels/elementwise/elementwise.h"

namespace bookend {
namespace {

// One past the last element that the strides reach.
std::size_t reach(const Fields& fields, const char* name, const std::int64_t* extent,
                  const std::int64_t* stride, int axes) {
  std::size_t last = 0;
  for (int axis = 0; axis < axes; ++axis) {
    last += checked_product(fields, name, {extent[axis] - 1, stride[axis]});
  }
  return last + 1;
}

}  // namespace

Instruction decode_unary(const Fields& fields, const DecodeContext& context) {
  UnaryProblem problem{};
  problem.op = fields.choice<UnaryOp>("kind", {{"affine", UnaryOp::affine},
                                               {"silu", UnaryOp::silu},
                                               {"gelu", UnaryOp::gelu},
                                               {"geluTanh", UnaryOp::gelu_tanh},
                                               {"quickGelu", UnaryOp::quick_gelu},
                                               {"relu", UnaryOp::relu},
                                               {"sigmoid", UnaryOp::sigmoid},
                                               {"tanh", UnaryOp::tanh},
                                               {"exp", UnaryOp::exp},
                                               {"erf", UnaryOp::erf}});
  problem.count = fields.integer("count", 1, static_cast<std::int64_t>(kLargestBytes));
  problem.scale = fields.number("scale");
  problem.offset = fields.number("offset");
  problem.input = fields.dtype("input");
  problem.output = fields.dtype("output");
  const auto count = static_cast<std::size_t>(problem.count);
  const std::array<OperandRef, 2> refs{
      operand(fields, context, "x", problem.input, count),
      operand(fields, context, "out", problem.output, count),
  };
  const auto* kernel = chosen(fields, select_unary(problem, context.limit));
  return Instruction::make<UnaryProblem>(kernel, problem, refs);
}

Instruction decode_binary(const Fields& fields, const DecodeContext& context) {
  BinaryProblem problem{};
  problem.op = fields.choice<BinaryOp>("kind", {{"add", BinaryOp::add},
                                                {"sub", BinaryOp::sub},
                                                {"mul", BinaryOp::mul},
                                                {"div", BinaryOp::div}});
  const auto extent = fields.integers("extent", 4);
  const auto a_stride = fields.integers("aStride", 4);
  const auto b_stride = fields.integers("bStride", 4);
  for (const std::int64_t size : extent) {
    if (size < 1) fields.reject("extent", "has an empty axis");
  }
  std::copy(extent.begin(), extent.end(), problem.extent);
  std::copy(a_stride.begin(), a_stride.end(), problem.a_stride);
  std::copy(b_stride.begin(), b_stride.end(), problem.b_stride);
  problem.a_type = fields.dtype("aType");
  problem.b_type = fields.dtype("bType");
  problem.output = fields.dtype("output");
  const std::array<OperandRef, 3> refs{
      operand(fields, context, "a", problem.a_type,
              reach(fields, "a", problem.extent, problem.a_stride, 4)),
      operand(fields, context, "b", problem.b_type,
              reach(fields, "b", problem.extent, problem.b_stride, 4)),
      operand(fields, context, "out", problem.output,
              checked_product(fields, "out", {extent[0], extent[1], extent[2], extent[3]})),
  };
  const auto* kernel = chosen(fields, select_binary(problem, context.limit));
  return Instruction::make<BinaryProblem>(kernel, problem, refs);
}

Instruction decode_geglu(const Fields& fields, const DecodeContext& context) {
  GegluProblem problem{};
  problem.rows = fields.extent("rows");
  problem.columns = fields.extent("columns");
  problem.type = fields.dtype("type");
  const std::array<OperandRef, 2> refs{
      operand(fields, context, "x", problem.type,
              checked_product(fields, "x", {problem.rows, problem.columns, 2})),
      operand(fields, context, "out", problem.type,
              checked_product(fields, "out", {problem.rows, problem.columns})),
  };
  const auto* kernel = chosen(fields, select_geglu(problem, context.limit));
  return Instruction::make<GegluProblem>(kernel, problem, refs);
}

Instruction decode_softmax(const Fields& fields, const DecodeContext& context) {
  SoftmaxProblem problem{};
  problem.rows = fields.extent("rows");
  problem.columns = fields.extent("columns");
  problem.type = fields.dtype("type");
  const std::size_t count = checked_product(fields, "x", {problem.rows, problem.columns});
  const std::array<OperandRef, 2> refs{
      operand(fields, context, "x", problem.type, count),
      operand(fields, context, "out", problem.type, count),
  };
  const auto* kernel = chosen(fields, select_softmax(problem, context.limit));
  return Instruction::make<SoftmaxProblem>(kernel, problem, refs);
}

}  // namespace bookend
