#include "addon/decode.h"

#include <array>

namespace bookend {
namespace {

constexpr int kLargestKernel = 63;

// True when every window along one axis starts and ends less than a window from the image, so that
// each one touches it. Where zeros are inserted, as many more may follow the last pixel.
bool windows_fit(std::int64_t size, std::int64_t out, int window, const Conv2dProblem& problem,
                 int pad_before) {
  const std::int64_t pad_after = (out - 1) * problem.stride + window - pad_before - size;
  return pad_before < window && pad_after < window + problem.insertion - 1;
}

void check_geometry(const Fields& fields, const Conv2dProblem& problem) {
  if (!windows_fit(problem.seen_height(), problem.out_height, problem.kernel_height, problem,
                   problem.pad_top)) {
    fields.reject("outHeight", "does not follow from height, stride and padding");
  }
  if (!windows_fit(problem.seen_width(), problem.out_width, problem.kernel_width, problem,
                   problem.pad_left)) {
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

// What only products of computed operands have: see Conv2dFields in src/compiler/instructions.ts.
void read_plain(const Fields& fields, Conv2dProblem* problem) {
  if (fields.has("insertion")) {
    problem->insertion = static_cast<int>(fields.integer("insertion", 1, kLargestKernel));
  }
  if (fields.has("xStrides")) {
    const auto strides = fields.integers("xStrides", 3);
    problem->x_strides = {strides[0], strides[1], strides[2]};
    if (strides[2] < 1) fields.reject("xStrides", "keep pixels in one place");
  }
  if (!fields.has("weightView")) return;
  problem->weight_form = WeightForm::plain;
  const auto strides = fields.integers("weightView", 5);
  problem->view = {strides[0], strides[1], strides[2], strides[3], strides[4]};
  // A kernel turned around starts at its last tap and goes back.
  if (fields.flag("turned")) {
    problem->view.offset += (problem->kernel_height - 1) * problem->view.row +
                            (problem->kernel_width - 1) * problem->view.column;
    problem->view.row = -problem->view.row;
    problem->view.column = -problem->view.column;
  }
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
  read_plain(fields, &problem);
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

// One past the last element of x.
std::size_t reach_of_x(const Fields& fields, const Conv2dProblem& problem) {
  const bool dense = problem.x_strides.pixel == 0;
  const SourceStrides s =
      dense ? problem.dense_strides(problem.channels) : problem.x_strides;
  return checked_product(fields, "x", {problem.batch - 1, s.image}) +
         checked_product(fields, "x", {problem.height - 1, s.line}) +
         checked_product(fields, "x", {problem.width - 1, s.pixel}) +
         static_cast<std::size_t>(problem.channels);
}

// One past the last element of plain weights, whichever way round the taps are read.
std::size_t reach_of_weights(const Fields& fields, const Conv2dProblem& problem) {
  const WeightView& view = problem.view;
  const bool turned = view.row < 0 || view.column < 0;
  const auto steps = [&](std::int64_t extent, std::int64_t stride) {
    return checked_product(fields, "weights", {extent - 1, stride < 0 ? 0 : stride});
  };
  return static_cast<std::size_t>(view.offset) + steps(problem.out_channels, view.output) +
         steps(problem.channels + problem.skip_channels, view.channel) +
         (turned ? 0 : steps(problem.kernel_height, view.row)) +
         (turned ? 0 : steps(problem.kernel_width, view.column)) + 1;
}

OperandRef weights_operand(const Fields& fields, const DecodeContext& context,
                           const PackingPlan& plan) {
  if (plan.problem.weight_form == WeightForm::packed) {
    return packed_operand(fields, context, "weights", plan.format, plan.packed_bytes);
  }
  return operand(fields, context, "weights", plan.problem.input,
                 reach_of_weights(fields, plan.problem));
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
  const PackingPlan plan = plan_packing(fields, context.limit);
  const Conv2dProblem& problem = plan.problem;
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
      operand(fields, context, "x", problem.input, reach_of_x(fields, problem)),
      optional_operand(fields, context, "skip", problem.skip_channels > 0, problem.input,
                       of_pixels("skip", problem.skip_channels)),
      weights_operand(fields, context, plan),
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
  return Instruction::make<Conv2dProblem>(plan.kernel, problem, refs);
}

}  // namespace bookend
