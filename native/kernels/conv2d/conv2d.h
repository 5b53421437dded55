// Convolution and linear layers: one problem, since a linear layer over T tokens is a 1x1
// convolution over a 1 x T image. Activations are channels-last.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"
#include "dispatch/kernel.h"

namespace bookend {

struct Conv2dOperands {
  const void* x;              // [batch, height, width, channels]
  const void* skip;           // [batch, height, width, skip_channels]: second half of a concatenation
  const void* weights;        // packed by the chosen kernel, or plain as `WeightView` says
  const float* weight_scale;  // [out_channels]: a real weight is the s8 one times this
  const float* bias;          // [out_channels], in the order of the unpacked weights
  const float* row_bias;      // [batch, out_channels]: the time embedding
  const void* residual;       // like `out`
  void* out;                  // [batch, out_height, out_width, out_columns()]
  std::uint8_t* quantized;    // the same as codes
};

// Which of `out` and `quantized` are written.
enum class Store : std::uint8_t { floating, quantized, both };

// Where weights that are packed while the kernel runs lie: element (output, channel, row, column)
// is weights[offset + output * output_stride + ...]. So gradients read them transposed and turned
// around, and products of two computed matrices are convolutions too.
struct WeightView {
  std::int64_t offset = 0;
  std::int64_t output = 0, channel = 0, row = 0, column = 0;  // strides in elements, maybe negative
};

// How far apart the pixels of x lie, in elements. Channels of a pixel are always neighbours; pixels
// may overlap.
struct SourceStrides {
  std::int64_t image, line, pixel;
};

enum class WeightForm : std::uint8_t { packed, plain };

struct Conv2dProblem {
  using Operands = Conv2dOperands;

  std::int64_t batch, height, width;  // of the input, before `upsample`
  std::int64_t channels, skip_channels;
  std::int64_t out_channels, out_height, out_width;
  int kernel_height = 1, kernel_width = 1;
  int stride = 1;
  int pad_top = 0, pad_left = 0;  // bottom and right padding follow from out_height, out_width
  int upsample = 1;               // 2: the source is read through nearest-neighbour upsampling
  int insertion = 1;              // n: n - 1 zeros stand between any two pixels of the source
  SourceStrides x_strides{};      // all 0 where x is dense
  WeightForm weight_form = WeightForm::packed;
  WeightView view{};              // of plain weights, whose type is `input`
  DType input = DType::f32;       // of x and skip; weights are packed in the same type, s8 for u8
  DType output = DType::f32;      // of out and residual: f32 or bf16
  bool has_bias = false, has_row_bias = false, has_residual = false;
  Activation activation = Activation::none;
  float output_scale = 1.0f;
  Store store = Store::floating;
  // Codes stand for (code - zero) * scale: those of x, of skip and of the result.
  float input_scale = 1.0f, skip_scale = 1.0f, quantize_scale = 1.0f;
  std::int32_t input_zero = 0, skip_zero = 0;
  float quantize_zero = 0.0f;

  // out = (activation(sum + bias + row_bias) + residual) * output_scale.
  // geglu: the weights hold [values | gates]; out = value * gelu(gate), half as many columns.
  std::int64_t out_columns() const {
    return activation == Activation::geglu ? out_channels / 2 : out_channels;
  }
  std::int64_t depth() const { return (channels + skip_channels) * kernel_height * kernel_width; }
  std::int64_t rows() const { return batch * out_height * out_width; }
  // Extents as the windows see them.
  std::int64_t seen_height() const { return seen(height); }
  std::int64_t seen_width() const { return seen(width); }
  SourceStrides dense_strides(std::int64_t pixel) const {
    return {height * width * pixel, width * pixel, pixel};
  }

 private:
  std::int64_t seen(std::int64_t extent) const {
    return upsample == 2 ? extent * 2 : (extent - 1) * insertion + 1;
  }
};

struct Conv2dKernel : Kernel<Conv2dProblem> {
  std::size_t (*packed_bytes)(const Conv2dProblem&);
  // Packs [out_channels, channels + skip_channels, kernel_height, kernel_width] of `source` type
  // (f32, bf16 or f16; s8 where the problem's input is u8).
  void (*pack)(const Conv2dProblem&, const void* weights, DType source, void* packed);
};

// nullptr, or why no convolution kernel takes `problem`, whatever its instruction set.
const char* refuse_conv2d(const Conv2dProblem& problem);

// Best kernel for `problem` on sets up to `limit`, or the reason why there is none.
Selection<Conv2dKernel> select_conv2d(const Conv2dProblem& problem, Isa limit);

}  // namespace bookend
