#include <array>

#include "addon/decode.h"
#include "kernels/pool2d/pool2d.h"

namespace bookend {
namespace {

constexpr std::int64_t kLargestKernel = 1024;

// True when every window along one axis holds a pixel of the image.
bool windows_fit(std::int64_t size, std::int64_t out, int window, int stride, int pad_before) {
  return pad_before < window && (out - 1) * stride - pad_before < size;
}

void check_geometry(const Fields& fields, const Pool2dProblem& problem) {
  if (!windows_fit(problem.height, problem.out_height, problem.kernel_height, problem.stride,
                   problem.pad_top)) {
    fields.reject("outHeight", "has windows outside of the image");
  }
  if (!windows_fit(problem.width, problem.out_width, problem.kernel_width, problem.stride,
                   problem.pad_left)) {
    fields.reject("outWidth", "has windows outside of the image");
  }
}

}  // namespace

Instruction decode_pool2d(const Fields& fields, const DecodeContext& context) {
  Pool2dProblem problem{};
  problem.kind = fields.choice<Pooling>("kind", {{"max", Pooling::max},
                                                 {"average", Pooling::average}});
  problem.batch = fields.extent("batch");
  problem.height = fields.extent("height");
  problem.width = fields.extent("width");
  problem.channels = fields.extent("channels");
  problem.out_height = fields.extent("outHeight");
  problem.out_width = fields.extent("outWidth");
  problem.kernel_height = static_cast<int>(fields.integer("kernelHeight", 1, kLargestKernel));
  problem.kernel_width = static_cast<int>(fields.integer("kernelWidth", 1, kLargestKernel));
  problem.stride = static_cast<int>(fields.integer("stride", 1, kLargestKernel));
  problem.pad_top = static_cast<int>(fields.integer("padTop", 0, kLargestKernel));
  problem.pad_left = static_cast<int>(fields.integer("padLeft", 0, kLargestKernel));
  problem.type = fields.dtype("type");
  check_geometry(fields, problem);
  const std::array<OperandRef, 2> refs{
      operand(fields, context, "x", problem.type,
              checked_product(fields, "x", {problem.batch, problem.height, problem.width,
                                            problem.channels})),
      operand(fields, context, "out", problem.type,
              checked_product(fields, "out", {problem.batch, problem.out_height,
                                              problem.out_width, problem.channels})),
  };
  const auto* kernel = chosen(fields, select_pool2d(problem, context.limit));
  return Instruction::make<Pool2dProblem>(kernel, problem, refs);
}

}  // namespace bookend
