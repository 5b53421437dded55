// Compares every convolution kernel with plain double-precision loops, over shapes that reach every
// branch: ragged rows and columns, odd channels, padding, stride, upsampling, skip, all epilogues.
// Prints the failures and exits 1 if there are any.
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
    default:
      return x;
  }
}

struct Inputs {
  Buffer x, skip, weights, residual;
  std::vector<float> bias, row_bias;
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

// Largest error over its bound.
double worst_error(const Conv2dProblem& p, const Inputs& in, const std::byte* out) {
  const double input_epsilon = p.input == DType::bf16 ? 0x1p-22 : 0x1p-23;
  const double output_epsilon = p.output == DType::bf16 ? 0x1p-8 : 0x1p-22;
  double worst = 0;
  for (std::int64_t row = 0; row < p.rows(); ++row) {
    const std::int64_t x = row % p.out_width, y = row / p.out_width % p.out_height;
    const std::int64_t image = row / p.out_width / p.out_height;
    for (std::int64_t o = 0; o < p.out_columns(); ++o) {
      double sum = 0, magnitude = 0, value;
      sum_at(p, in, image, y, x, o, &sum, &magnitude);
      if (p.activation == Activation::geglu) {
        double gate = 0, gate_magnitude = 0;
        sum_at(p, in, image, y, x, o + p.out_columns(), &gate, &gate_magnitude);
        value = sum * activate(p.activation, gate);
        magnitude = magnitude * std::fabs(gate) + gate_magnitude * (1 + std::fabs(sum));
      } else {
        value = activate(p.activation, sum);
      }
      const std::int64_t at = row * p.out_columns() + o;
      if (p.has_residual) value += in.residual.values[at];
      value *= p.output_scale;
      const double got = read(out + static_cast<std::size_t>(at) * byte_size(p.output), p.output);
      const double bound = std::sqrt(static_cast<double>(p.depth())) * input_epsilon *
                               (1 + magnitude) + output_epsilon * (0.01 + std::fabs(value));
      const double error = std::fabs(got - value) / bound;
      if (!(error <= worst)) worst = error;
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
  in.x = random_buffer(pixels * p.channels, p.input, 1);
  in.skip = random_buffer(pixels * p.skip_channels, p.input, 1);
  in.weights = random_buffer(p.out_channels * p.depth(), source,
                             1 / std::sqrt(static_cast<double>(p.depth())));
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
  auto packed = guarded(packed_bytes), scratch = guarded(scratch_bytes), out = guarded(out_bytes);
  kernel->pack(p, in.weights.bytes.data(), source, packed.data());
  ThreadPool pool(threads);
  const Conv2dOperands operands{in.x.bytes.data(),     in.skip.bytes.data(), packed.data(),
                                in.bias.data(),        in.row_bias.data(),
                                in.residual.bytes.data(), out.data()};
  kernel->run(p, operands, {pool, scratch.data()});
  bool guard_kept = true;
  for (std::size_t i = 0; i < kGuard; ++i) {
    guard_kept = guard_kept && packed[packed_bytes + i] == std::byte{0x7f} &&
                 scratch[scratch_bytes + i] == std::byte{0x7f} &&
                 out[out_bytes + i] == std::byte{0x7f};
  }
  const double error = worst_error(p, in, out.data());
  if (error <= 1 && guard_kept) return true;
  std::printf("%s: error %.3g of its bound%s; %ldx%ldx%ld channels %ld+%ld -> %ld, kernel %dx%d "
              "stride %d upsample %d activation %d output type %d\n",
              kernel->name, error, guard_kept ? "" : ", wrote past a buffer",
              static_cast<long>(p.batch), static_cast<long>(p.height), static_cast<long>(p.width),
              static_cast<long>(p.channels), static_cast<long>(p.skip_channels),
              static_cast<long>(p.out_channels), p.kernel_height, p.kernel_width, p.stride,
              p.upsample, static_cast<int>(p.activation), static_cast<int>(p.output));
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
      for (int variant = 0; variant < 24; ++variant) {
        Conv2dProblem p = shape;
        p.input = variant & 1 ? DType::bf16 : DType::f32;
        p.output = variant & 2 ? DType::bf16 : DType::f32;
        p.activation = static_cast<Activation>(variant / 4);
        p.has_bias = variant % 3 != 0;
        p.has_row_bias = variant % 5 == 1;
        p.has_residual = variant % 4 == 3 || variant % 7 == 0;
        p.output_scale = variant % 6 == 5 ? 0.5f : 1.0f;
        if (p.activation == Activation::geglu && p.out_channels % 2 != 0) ++p.out_channels;
        ++runs;
        if (!check(p, sources[variant % 3], static_cast<Isa>(isa), 1 + variant % 2)) ++failures;
      }
    }
  }
  std::printf("%d of %d comparisons failed\n", failures, runs);
  return failures == 0 ? 0 : 1;
}
