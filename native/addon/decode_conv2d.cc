#include "addon/decode.h"

#include <array>

namespace bookend {
namespace {

constexpr int kLargestKernel = 63;

// True when every window along one axis starts and ends less than a window from the image, so that
// each one touches it: what the kernels may assume about padding.
bool windows_fit(std::int64_t size, std::int64_t out, int window, int stride, int pad_before) {
  const std::int64_t pad_after = (out - 1) * stride + window - pad_before - size;
  return pad_before < window && pad_after < window;
}

void check_geometry(const Fields& fields, const Conv2dProblem& problem) {
  if (!windows_fit(problem.height * problem.upsample, problem.out_height, problem.kernel_height,
                   problem.stride, problem.pad_top)) {
    fields.reject("outHeight", "does not follow from height, stride and padding");
  }
  if (!windows_fit(problem.width * problem.upsample, problem.out_width, problem.kernel_width,
                   problem.stride, problem.pad_left)) {
    fields.reject("outWidth", "does not follow from width, stride and padding");
  }
  if (problem.activation == Activation::geglu && problem.out_channels % 2 != 0) {
    fields.reject("outChannels", "is odd, though geglu halves it");
  }
}

Store read_store(const Fields& fields) {
  return fields.choice<Store>("store", {{"float", Store::floating},
                                        {"quantized", Store::quantized},
                                        {"both", Store::both}});
}

// What codes of the sources and of the result stand for.
void read_quantizations(const Fields& fields, Conv2dProblem* problem) {
  const DType result = problem->store == Store::floating ? problem->output : DType::u8;
  const ResultQuantization quantization = read_quantization(fields, result);
  problem->quantize_scale = quantization.scale;
  problem->quantize_zero = quantization.zero;
  if (problem->input != DType::u8) return;
  problem->input_scale = fields.number("inputScale");
  problem->skip_scale = fields.number("skipScale");
  problem->input_zero = static_cast<std::int32_t>(fields.integer("inputZero", 0, 255));
  problem->skip_zero = static_cast<std::int32_t>(fields.integer("skipZero", 0, 255));
}

Conv2dProblem read_problem(const Fields& fields) {
  Conv2dProblem problem{};
  problem.batch = fields.extent("batch");
  problem.height = fields.extent("height");
  problem.width = fields.extent("width");
  problem.channels = fields.extent("channels");
  problem.skip_channels = fields.integer("skipChannels", 0, kLargestExtent);
  problem.out_channels = fields.extent("outChannels");
  problem.out_height = fields.extent("outHeight");
  problem.out_width = fields.extent("outWidth");
  problem.kernel_height = static_cast<int>(fields.integer("kernelHeight", 1, kLargestKernel));
  problem.kernel_width = static_cast<int>(fields.integer("kernelWidth", 1, kLargestKernel));
  problem.stride = static_cast<int>(fields.integer("stride", 1, kLargestKernel));
  problem.pad_top = static_cast<int>(fields.integer("padTop", 0, kLargestKernel));
  problem.pad_left = static_cast<int>(fields.integer("padLeft", 0, kLargestKernel));
  problem.upsample = static_cast<int>(fields.integer("upsample", 1, 2));
  problem.input = fields.dtype("input");
  problem.output = fields.dtype("output");
  problem.has_bias = fields.flag("hasBias");
  problem.has_row_bias = fields.flag("hasRowBias");
  problem.has_residual = fields.flag("hasResidual");
  problem.activation = fields.activation("activation");
  problem.output_scale = fields.number("outputScale");
  problem.store = read_store(fields);
  read_quantizations(fields, &problem);
  check_geometry(fields, problem);
  return problem;
}

// Everything that packing may depend on. Batch and image sizes are not among it: Programs of
// several sizes share their weights.
std::string format_of(const Conv2dProblem& problem, const Conv2dKernel& kernel) {
  return std::string(kernel.name) + " " + std::to_string(problem.channels) + "+" +
         std::to_string(problem.skip_channels) + ">" + std::to_string(problem.out_channels) + " " +
         std::to_string(problem.kernel_height) + "x" + std::to_string(problem.kernel_width) +
         (problem.activation == Activation::geglu ? " geglu" : "");
}

}  // namespace

PackingPlan plan_packing(const Fields& fields, Isa limit) {
  const Conv2dProblem problem = read_problem(fields);
  checked_product(fields, "out", {problem.batch, problem.out_height, problem.out_width});
  checked_product(fields, "weights",
                  {problem.out_channels, problem.channels + problem.skip_channels,
                   problem.kernel_height, problem.kernel_width, 4});
  const Conv2dKernel* kernel = chosen(fields, select_conv2d(problem, limit));
  return {problem, kernel, format_of(problem, *kernel), kernel->packed_bytes(problem)};
}

Instruction decode_conv2d(const Fields& fields, const DecodeContext& context) {
  const auto [problem, kernel, format, packed_bytes] = plan_packing(fields, context.limit);
  const std::size_t pixels =
      checked_product(fields, "x", {problem.batch, problem.height, problem.width});
  const auto of_pixels = [&](const char* name, std::int64_t channels) {
    return checked_product(fields, name, {static_cast<std::int64_t>(pixels), channels});
  };
  const std::size_t out_count =
      checked_product(fields, "out", {problem.batch, problem.out_height, problem.out_width,
                                      problem.out_columns()});
  const std::size_t row_bias_count =
      checked_product(fields, "rowBias", {problem.batch, problem.out_channels});
  const auto outputs = static_cast<std::size_t>(problem.out_channels);
  const std::array<OperandRef, 9> refs{
      operand(fields, context, "x", problem.input, of_pixels("x", problem.channels)),
      optional_operand(fields, context, "skip", problem.skip_channels > 0, problem.input,
                       of_pixels("skip", problem.skip_channels)),
      packed_operand(fields, context, "weights", format, packed_bytes),
      optional_operand(fields, context, "weightScale", problem.input == DType::u8, DType::f32,
                       outputs),
      optional_operand(fields, context, "bias", problem.has_bias, DType::f32, outputs),
      optional_operand(fields, context, "rowBias", problem.has_row_bias, DType::f32,
                       row_bias_count),
      optional_operand(fields, context, "residual", problem.has_residual, problem.output,
                       out_count),
      optional_operand(fields, context, "out", problem.store != Store::quantized, problem.output,
                       out_count),
      optional_operand(fields, context, "quantized", problem.store != Store::floating, DType::u8,
                       out_count),
  };
  return Instruction::make<Conv2dProblem>(kernel, problem, refs);
}

}  // namespace bookend
