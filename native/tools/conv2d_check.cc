// Compares every convolution kernel with plain double-precision loops, over shapes that reach every
// branch: ragged rows and columns, odd channels, padding, stride, upsampling, skip, all epilogues.
// Prints the failures and exits 1 if there are any.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "kernels/conv2d/conv2d.h"

using namespace bookend;

namespace {

struct Case {
  Conv2dProblem problem;
  DType source = DType::f32;  // of the unpacked weights
};

struct Buffer {
  std::vector<std::byte> bytes;
  std::vector<double> values;  // what the stored numbers are
};

std::mt19937 generator(1);

Buffer random_buffer(std::int64_t count, DType type, double scale) {
  std::normal_distribution<float> normal;
  Buffer buffer;
  buffer.bytes.resize(static_cast<std::size_t>(count) * byte_size(type));
  buffer.values.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = normal(generator) * static_cast<float>(scale);
    std::byte* at = buffer.bytes.data() + static_cast<std::size_t>(i) * byte_size(type);
    if (type == DType::f32) {
      std::memcpy(at, &value, 4);
      buffer.values[i] = value;
    } else if (type == DType::bf16) {
      const Bf16 narrow = to_bf16(value);
      std::memcpy(at, &narrow, 2);
      buffer.values[i] = to_float(narrow);
    } else {
      const F16 narrow = to_f16(value);
      std::memcpy(at, &narrow, 2);
      buffer.values[i] = to_float(narrow);
    }
  }
  return buffer;
}

// Codes of all 256 values, which stand for (code - zero) * scale.
Buffer random_codes(std::int64_t count, float scale, int zero) {
  Buffer buffer;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto code = static_cast<int>(generator() & 255u);
    buffer.bytes.push_back(static_cast<std::byte>(code));
    buffer.values.push_back(static_cast<double>(code - zero) * static_cast<double>(scale));
  }
  return buffer;
}

// s8 weights of [outputs, depth], times the scale of their output.
Buffer random_weights(const std::vector<float>& scales, std::int64_t depth) {
  Buffer buffer;
  for (const float scale : scales) {
    for (std::int64_t i = 0; i < depth; ++i) {
      const auto weight = static_cast<std::int8_t>(generator() & 255u);
      buffer.bytes.push_back(static_cast<std::byte>(weight));
      buffer.values.push_back(static_cast<double>(weight) * static_cast<double>(scale));
    }
  }
  return buffer;
}

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu:
    case Activation::geglu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::quick_gelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::relu:
      return std::max(0.0, x);
    default:
      return x;
  }
}

struct Inputs {
  Buffer x, skip, weights, residual;
  std::vector<float> weight_scale, bias, row_bias;
};

// Sum over taps and channels of both sources for output pixel (image, y, x) and channel o; also the
// sum of magnitudes, which the error bound is relative to.
void sum_at(const Conv2dProblem& p, const Inputs& in, std::int64_t image, std::int64_t y,
            std::int64_t x, std::int64_t o, double* sum, double* magnitude) {
  const std::int64_t channels = p.channels + p.skip_channels;
  for (int ky = 0; ky < p.kernel_height; ++ky) {
    for (int kx = 0; kx < p.kernel_width; ++kx) {
      const std::int64_t iy = y * p.stride + ky - p.pad_top, ix = x * p.stride + kx - p.pad_left;
      if (iy < 0 || ix < 0 || iy >= p.height * p.upsample || ix >= p.width * p.upsample) continue;
      const std::int64_t pixel = (image * p.height + iy / p.upsample) * p.width + ix / p.upsample;
      for (std::int64_t c = 0; c < channels; ++c) {
        const double a = c < p.channels ? in.x.values[pixel * p.channels + c]
                                        : in.skip.values[pixel * p.skip_channels + c - p.channels];
        const double w =
            in.weights.values[((o * channels + c) * p.kernel_height + ky) * p.kernel_width + kx];
        *sum += a * w;
        *magnitude += std::fabs(a * w);
      }
    }
  }
  if (p.has_bias) *sum += in.bias[o];
  if (p.has_row_bias) *sum += in.row_bias[image * p.out_channels + o];
}

double read(const std::byte* at, DType type) {
  if (type == DType::f32) {
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }
  Bf16 value;
  std::memcpy(&value, at, 2);
  return to_float(value);
}

// How far a code is from `value`, beyond the half that rounding takes, in real units.
double code_error(const Conv2dProblem& p, double value, std::uint8_t code) {
  const double scale = static_cast<double>(p.quantize_scale);
  const double exact = std::clamp(value / scale + static_cast<double>(p.quantize_zero), 0.0, 255.0);
  return std::max(0.0, std::fabs(code - exact) - 0.5) * scale;
}

// Whether integer sums are all there is to see: then results are exact.
bool is_exact(const Conv2dProblem& p) {
  return p.input == DType::u8 && p.input_scale == 1.0f && p.skip_channels == 0 && !p.has_bias &&
         !p.has_row_bias && !p.has_residual && p.activation == Activation::none &&
         p.output == DType::f32 && p.output_scale == 1.0f;
}

// Largest error over its bound.
double worst_error(const Conv2dProblem& p, const Inputs& in, const std::byte* out,
                   const std::uint8_t* quantized) {
  const double input_epsilon = p.input == DType::bf16 ? 0x1p-22 : 0x1p-23;
  const double output_epsilon = p.output == DType::bf16 ? 0x1p-8 : 0x1p-22;
  double worst = 0;
  for (std::int64_t row = 0; row < p.rows(); ++row) {
    const std::int64_t x = row % p.out_width, y = row / p.out_width % p.out_height;
    const std::int64_t image = row / p.out_width / p.out_height;
    for (std::int64_t o = 0; o < p.out_columns(); ++o) {
      double sum = 0, magnitude = 0, value, coarse = 0;  // GELU of integer sums is coarser
      sum_at(p, in, image, y, x, o, &sum, &magnitude);
      if (p.activation == Activation::geglu) {
        double gate = 0, gate_magnitude = 0;
        sum_at(p, in, image, y, x, o + p.out_columns(), &gate, &gate_magnitude);
        value = sum * activate(p.activation, gate);
        if (p.input == DType::u8) coarse = 0x1p-16 * std::fabs(sum * gate);
        magnitude = magnitude * std::fabs(gate) + gate_magnitude * (1 + std::fabs(sum));
      } else {
        value = activate(p.activation, sum);
        if (p.input == DType::u8 && p.activation == Activation::gelu) {
          coarse = 0x1p-16 * std::fabs(sum);
        }
      }
      const std::int64_t at = row * p.out_columns() + o;
      if (p.has_residual) value += in.residual.values[at];
      value *= p.output_scale;
      const double arithmetic =
          std::sqrt(static_cast<double>(p.depth())) * input_epsilon * (1 + magnitude) + coarse;
      const auto note = [&worst](double error) {
        if (!(error <= worst)) worst = error;
      };
      if (p.store != Store::quantized) {
        const double got =
            read(out + static_cast<std::size_t>(at) * byte_size(p.output), p.output);
        const bool exact = is_exact(p) && got != static_cast<double>(static_cast<float>(value));
        note(exact ? HUGE_VAL
                   : std::fabs(got - value) /
                         (arithmetic + output_epsilon * (0.01 + std::fabs(value))));
      }
      if (p.store != Store::floating) {
        note(code_error(p, value, quantized[at]) / (arithmetic + 0x1p-21 * (0.01 + std::fabs(value))));
      }
    }
  }
  return worst;
}

bool check(const Conv2dProblem& p, DType source, Isa isa, int threads) {
  const auto [kernel, reason] = select_conv2d(p, isa);
  if (kernel == nullptr) {
    std::printf("refused on %s: %s\n", isa_name(isa), reason);
    return false;
  }
  if (kernel->isa != isa) return true;  // a lesser row already checked
  const std::int64_t pixels = p.batch * p.height * p.width;
  Inputs in;
  if (p.input == DType::u8) {
    in.x = random_codes(pixels * p.channels, p.input_scale, p.input_zero);
    in.skip = random_codes(pixels * p.skip_channels, p.skip_scale, p.skip_zero);
    std::uniform_real_distribution<float> scales(0.5, 2);
    for (std::int64_t i = 0; i < p.out_channels; ++i) {
      const float whole = 0.01f / std::sqrt(static_cast<float>(p.depth()));
      in.weight_scale.push_back(p.input_scale == 1.0f ? 1.0f : whole * scales(generator));
    }
    in.weights = random_weights(in.weight_scale, p.depth());
  } else {
    in.x = random_buffer(pixels * p.channels, p.input, 1);
    in.skip = random_buffer(pixels * p.skip_channels, p.input, 1);
    in.weights = random_buffer(p.out_channels * p.depth(), source,
                               1 / std::sqrt(static_cast<double>(p.depth())));
  }
  if (p.input == DType::bf16) {  // packing rounds
    for (double& value : in.weights.values) value = to_float(to_bf16(static_cast<float>(value)));
  }
  in.residual = random_buffer(p.rows() * p.out_columns(), p.output, 1);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < p.out_channels; ++i) in.bias.push_back(normal(generator));
  for (std::int64_t i = 0; i < p.out_channels * p.batch; ++i) {
    in.row_bias.push_back(normal(generator));
  }
  // Exactly as many bytes as promised, behind which a guard must survive.
  constexpr std::size_t kGuard = 64;
  const std::size_t packed_bytes = kernel->packed_bytes(p);
  const std::size_t scratch_bytes = kernel->scratch_bytes(p, threads);
  const std::size_t out_bytes =
      static_cast<std::size_t>(p.rows() * p.out_columns()) * byte_size(p.output);
  const auto guarded = [](std::size_t bytes) {
    return std::vector<std::byte>(bytes + kGuard, std::byte{0x7f});
  };
  const auto code_bytes = static_cast<std::size_t>(p.rows() * p.out_columns());
  auto packed = guarded(packed_bytes), scratch = guarded(scratch_bytes);
  auto out = guarded(p.store == Store::quantized ? 0 : out_bytes);
  auto codes = guarded(p.store == Store::floating ? 0 : code_bytes);
  kernel->pack(p, in.weights.bytes.data(), p.input == DType::u8 ? DType::s8 : source,
               packed.data());
  ThreadPool pool(threads);
  const Conv2dOperands operands{in.x.bytes.data(),
                                in.skip.bytes.data(),
                                packed.data(),
                                in.weight_scale.data(),
                                in.bias.data(),
                                in.row_bias.data(),
                                in.residual.bytes.data(),
                                out.data(),
                                reinterpret_cast<std::uint8_t*>(codes.data())};
  kernel->run(p, operands, {pool, scratch.data()});
  bool guard_kept = true;
  for (std::size_t i = 0; i < kGuard; ++i) {
    guard_kept = guard_kept && packed[packed_bytes + i] == std::byte{0x7f} &&
                 scratch[scratch_bytes + i] == std::byte{0x7f} &&
                 out[out.size() - 1 - i] == std::byte{0x7f} &&
                 codes[codes.size() - 1 - i] == std::byte{0x7f};
  }
  const double error =
      worst_error(p, in, out.data(), reinterpret_cast<const std::uint8_t*>(codes.data()));
  if (error <= 1 && guard_kept) return true;
  std::printf("%s: error %.3g of its bound%s; %ldx%ldx%ld channels %ld+%ld -> %ld, kernel %dx%d "
              "stride %d upsample %d activation %d output type %d store %d\n",
              kernel->name, error, guard_kept ? "" : ", wrote past a buffer",
              static_cast<long>(p.batch), static_cast<long>(p.height), static_cast<long>(p.width),
              static_cast<long>(p.channels), static_cast<long>(p.skip_channels),
              static_cast<long>(p.out_channels), p.kernel_height, p.kernel_width, p.stride,
              p.upsample, static_cast<int>(p.activation), static_cast<int>(p.output),
              static_cast<int>(p.store));
  return false;
}

Conv2dProblem convolution(std::int64_t batch, std::int64_t height, std::int64_t width,
                          std::int64_t channels, std::int64_t skip, std::int64_t out, int kernel,
                          int stride, int pad, int upsample) {
  Conv2dProblem p;
  p.batch = batch, p.height = height, p.width = width;
  p.channels = channels, p.skip_channels = skip, p.out_channels = out;
  p.kernel_height = p.kernel_width = kernel;
  p.stride = stride, p.pad_top = p.pad_left = pad, p.upsample = upsample;
  p.out_height = (height * upsample + 2 * pad - kernel) / stride + 1;
  p.out_width = (width * upsample + 2 * pad - kernel) / stride + 1;
  return p;
}

std::vector<Conv2dProblem> shapes() {
  std::vector<Conv2dProblem> list = {
      convolution(1, 1, 1, 1, 0, 1, 1, 1, 0, 1),     convolution(1, 1, 2, 320, 0, 130, 1, 1, 0, 1),
      convolution(2, 5, 7, 3, 0, 17, 3, 1, 1, 1),    convolution(2, 8, 8, 4, 0, 64, 3, 1, 1, 1),
      convolution(1, 9, 6, 33, 0, 4, 3, 2, 1, 1),    convolution(2, 4, 5, 31, 0, 70, 3, 1, 1, 2),
      convolution(2, 6, 6, 40, 24, 96, 3, 1, 1, 1),  convolution(1, 6, 6, 13, 7, 40, 1, 1, 0, 1),
      convolution(1, 1, 77, 130, 0, 200, 1, 1, 0, 1), convolution(1, 33, 31, 8, 0, 128, 3, 1, 1, 1),
      convolution(1, 4, 4, 700, 0, 64, 3, 1, 1, 1),  convolution(1, 12, 12, 3, 0, 24, 4, 4, 0, 1),
      convolution(3, 8, 8, 64, 320, 32, 3, 2, 1, 1), convolution(1, 3, 3, 2, 0, 18, 7, 1, 3, 1),
  };
  Conv2dProblem asymmetric = convolution(1, 8, 8, 16, 0, 16, 3, 2, 0, 1);  // the VAE's downsampler
  asymmetric.out_height = asymmetric.out_width = 4;
  list.push_back(asymmetric);
  return list;
}

}  // namespace

int main() {
  int failures = 0, runs = 0;
  const DType sources[] = {DType::f32, DType::bf16, DType::f16};
  for (int isa = 0; isa < kIsaCount; ++isa) {
    const char* missing = isa_missing(static_cast<Isa>(isa));
    if (missing != nullptr && static_cast<Isa>(isa) != Isa::amx) {
      std::printf("%s not checked: %s\n", isa_name(static_cast<Isa>(isa)), missing);
      continue;
    }
    for (const Conv2dProblem& shape : shapes()) {
      for (int variant = 0; variant < 36; ++variant) {
        Conv2dProblem p = shape;
        const DType inputs[] = {DType::f32, DType::bf16, DType::u8};
        p.input = inputs[variant % 3];
        p.output = variant & 2 ? DType::bf16 : DType::f32;
        p.activation = static_cast<Activation>(variant / 6);
        p.store = static_cast<Store>(variant / 2 % 3);
        p.quantize_scale = 0.03f, p.quantize_zero = 77;
        if (p.input == DType::u8) {
          p.input_scale = 0.02f, p.input_zero = variant * 7, p.skip_scale = 0.07f, p.skip_zero = 3;
        }
        p.has_bias = variant % 5 != 0;
        p.has_row_bias = variant % 7 == 1;
        p.has_residual = variant % 4 == 3 || variant % 9 == 0;
        p.output_scale = variant % 7 == 5 ? 0.5f : 1.0f;
        if (p.activation == Activation::geglu && p.out_channels % 2 != 0) ++p.out_channels;
        if (p.input == DType::u8 && variant % 5 == 0) {  // sums alone
          p.input_scale = p.skip_scale = p.output_scale = 1.0f;
          p.has_row_bias = p.has_residual = false;
          p.activation = Activation::none, p.output = DType::f32, p.store = Store::floating;
        }
        ++runs;
        if (!check(p, sources[variant % 3], static_cast<Isa>(isa), 1 + variant % 2)) ++failures;
      }
    }
  }
  std::printf("%d of %d comparisons failed\n", failures, runs);
  return failures == 0 ? 0 : 1;
}
