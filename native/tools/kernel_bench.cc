// Times the convolutions and linear layers of Stable Diffusion 1.5's U-Net (512x512, batch 2) shape
// by shape against the register-only ceiling measured right before and after each run.
//
//   kernel_bench [f32|bf16|u8] [threads] [rounds] [isa] [substring of a shape's name]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "executor/buffer.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/probe/probe.h"

using namespace bookend;

namespace {

struct Shape {
  std::string name;
  Conv2dProblem problem;
  int count = 1;
  double flops() const {
    return 2.0 * static_cast<double>(problem.rows()) * static_cast<double>(problem.depth()) *
           static_cast<double>(problem.out_channels);
  }
};

struct Options {
  DType type = DType::f32;
  int threads = 2;
  int rounds = 5;
  Isa isa = best_isa();
  const char* filter = "";
};

// Collects the layers of the U-Net; equal ones are counted.
class Network {
 public:
  explicit Network(DType type) : type_(type) { build(); }
  std::vector<Shape> shapes;

 private:
  void add(const std::string& name, Conv2dProblem problem) {
    problem.input = problem.output = type_;
    if (type_ == DType::u8) {
      problem.output = DType::bf16;
      problem.input_scale = problem.skip_scale = problem.quantize_scale = 0.01f;
      problem.input_zero = 120, problem.skip_zero = 90, problem.quantize_zero = 100;
      if (problem.activation == Activation::geglu) problem.store = Store::quantized;
    }
    problem.has_bias = true;
    for (Shape& shape : shapes) {
      if (shape.name == name) {
        ++shape.count;
        return;
      }
    }
    shapes.push_back({name, problem});
  }

  Conv2dProblem image(std::int64_t size, std::int64_t in, std::int64_t skip, std::int64_t out,
                      int kernel, int stride, int upsample) {
    Conv2dProblem p;
    p.batch = 2, p.height = p.width = size;
    p.channels = in, p.skip_channels = skip, p.out_channels = out;
    p.kernel_height = p.kernel_width = kernel;
    p.stride = stride, p.upsample = upsample;
    p.pad_top = p.pad_left = kernel / 2;
    p.out_height = p.out_width = size * upsample / stride;
    return p;
  }

  void convolution(const char* label, std::int64_t size, std::int64_t in, std::int64_t skip,
                   std::int64_t out, int kernel, int stride = 1, int upsample = 1,
                   bool row_bias = false, bool residual = false) {
    Conv2dProblem p = image(size, in, skip, out, kernel, stride, upsample);
    p.has_row_bias = row_bias, p.has_residual = residual;
    char name[96];
    std::snprintf(name, sizeof name, "%s %ldx%ld %ld%s%s -> %ld", label, static_cast<long>(size),
                  static_cast<long>(size), static_cast<long>(in), skip != 0 ? "+" : "",
                  skip != 0 ? std::to_string(skip).c_str() : "", static_cast<long>(out));
    add(name, p);
  }

  void linear(const char* label, std::int64_t tokens, std::int64_t in, std::int64_t out,
              Activation activation = Activation::none, bool residual = false) {
    Conv2dProblem p = image(1, in, 0, out, 1, 1, 1);
    p.width = p.out_width = tokens;
    p.activation = activation, p.has_residual = residual;
    char name[96];
    std::snprintf(name, sizeof name, "%s 2x%ld %ld -> %ld", label, static_cast<long>(tokens),
                  static_cast<long>(in), static_cast<long>(out));
    add(name, p);
  }

  void resnet(std::int64_t size, std::int64_t in, std::int64_t skip, std::int64_t out) {
    linear("time", 1, 1280, out);
    convolution("conv", size, in + skip, 0, out, 3, 1, 1, true);
    convolution("conv+residual", size, out, 0, out, 3, 1, 1, false, true);
    if (in + skip != out) convolution("shortcut", size, in, skip, out, 1);
  }

  void transformer(std::int64_t size, std::int64_t width) {
    const std::int64_t tokens = size * size;
    for (int i = 0; i < 5; ++i) linear("linear", tokens, width, width);  // in, q, k, v, cross q
    for (int i = 0; i < 2; ++i) linear("context", 77, 768, width);
    for (int i = 0; i < 3; ++i) {
      linear("linear+residual", tokens, width, width, Activation::none, true);
    }
    linear("geglu", tokens, width, 8 * width, Activation::geglu);
    linear("linear+residual", tokens, 4 * width, width, Activation::none, true);
  }

  void build() {
    convolution("conv", 64, 4, 0, 320, 3);
    linear("time", 1, 320, 1280, Activation::silu);
    linear("time", 1, 1280, 1280, Activation::silu);
    const std::int64_t widths[] = {320, 640, 1280, 1280};
    std::int64_t size = 64, in = 320;
    std::vector<std::int64_t> skips = {320};
    for (int block = 0; block < 4; ++block) {
      for (int layer = 0; layer < 2; ++layer) {
        resnet(size, in, 0, widths[block]);
        in = widths[block];
        if (block < 3) transformer(size, in);
        skips.push_back(in);
      }
      if (block == 3) break;
      convolution("downsample", size, in, 0, in, 3, 2);
      skips.push_back(in);
      size /= 2;
    }
    resnet(size, in, 0, in);
    transformer(size, in);
    resnet(size, in, 0, in);
    for (int block = 3; block >= 0; --block) {
      for (int layer = 0; layer < 3; ++layer) {
        resnet(size, in, skips.back(), widths[block]);
        skips.pop_back();
        in = widths[block];
        if (block < 3) transformer(size, in);
      }
      if (block == 0) break;
      convolution("upsample", size, in, 0, in, 3, 1, 2);
      size *= 2;
    }
    convolution("conv", 64, 320, 0, 4, 3);
  }

  DType type_;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Operands in one large arena of random finite numbers. Weights come from another part of it at
// every run, since in a real step they always come from memory.
class Arena {
 public:
  explicit Arena(DType type) : buffer_(Buffer::allocate(kBytes)), bytes_(buffer_->data()) {
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < kBytes; i += 4) {
      state = state * 1664525u + 1013904223u;
      const float value = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
      if (type == DType::f32) {
        std::memcpy(&bytes_[i], &value, 4);
      } else {
        const Bf16 pair[2] = {to_bf16(value), to_bf16(-value)};
        std::memcpy(&bytes_[i], pair, 4);
      }
    }
  }

  std::byte* next(std::size_t bytes) {
    bytes = (bytes + 127) / 64 * 64;
    if (at_ + bytes > kBytes) at_ = 0;
    std::byte* result = bytes_ + at_;
    at_ += bytes;
    return result;
  }

 private:
  static constexpr std::size_t kBytes = 640u << 20;
  std::shared_ptr<Buffer> buffer_;
  std::byte* bytes_;
  std::size_t at_ = 0;
};

struct Sample {
  double flops_per_second, ceiling_before, ceiling_after;
  double ceiling() const { return (ceiling_before + ceiling_after) / 2; }

  // Whether the ceiling next to this sample dipped below that of its fellows: then the cores were
  // shared with somebody and the sample says nothing about the kernel.
  bool disturbed(const std::vector<Sample>& fellows) const {
    double best = 0;
    for (const Sample& other : fellows) best = std::max(best, other.ceiling());
    return std::min(ceiling_before, ceiling_after) < 0.9 * best;
  }
};

struct Bench {
  const Options& options;
  ThreadPool pool{options.threads};
  Arena arena{options.type};
  std::shared_ptr<Buffer> activations = Buffer::allocate(256u << 20);

  double ceiling() { return probe_flops(options.isa, options.type, pool, 0.01); }

  std::vector<Sample> measure(const Shape& shape) {
    const Conv2dProblem& p = shape.problem;
    const auto [kernel, reason] = select_conv2d(p, options.isa);
    if (kernel == nullptr) {
      std::fprintf(stderr, "%s: %s\n", shape.name.c_str(), reason);
      std::exit(1);
    }
    const auto scratch = Buffer::allocate(kernel->scratch_bytes(p, options.threads));
    const std::size_t in_bytes = static_cast<std::size_t>(p.batch * p.height * p.width) * 4;
    std::byte* at = activations->data();
    const auto take = [&](std::size_t bytes) {
      std::byte* result = at;
      at += (bytes + 63) / 64 * 64;
      return result;
    };
    Conv2dOperands operands{};
    operands.x = take(in_bytes * static_cast<std::size_t>(p.channels));
    operands.skip = take(in_bytes * static_cast<std::size_t>(p.skip_channels));
    operands.bias = reinterpret_cast<float*>(take(static_cast<std::size_t>(p.out_channels) * 4));
    operands.row_bias =
        reinterpret_cast<float*>(take(static_cast<std::size_t>(p.out_channels) * 8));
    operands.weight_scale =
        reinterpret_cast<float*>(take(static_cast<std::size_t>(p.out_channels) * 4));
    operands.residual = take(static_cast<std::size_t>(p.rows() * p.out_columns()) * 4);
    operands.out = take(static_cast<std::size_t>(p.rows() * p.out_columns()) * 4);
    operands.quantized =
        reinterpret_cast<std::uint8_t*>(take(static_cast<std::size_t>(p.rows() * p.out_columns())));
    // Short layers repeat, so that one sample is long against the clock and a wake-up.
    const int repeats = static_cast<int>(std::max(1.0, std::min(64.0, 4e9 / shape.flops())));
    std::vector<Sample> samples;
    for (int round = 0; round < options.rounds + 1; ++round) {
      const double before = ceiling();
      const double start = seconds_now();
      for (int i = 0; i < repeats; ++i) {
        operands.weights = arena.next(kernel->packed_bytes(p));
        kernel->run(p, operands, {pool, scratch->data()});
      }
      const double elapsed = (seconds_now() - start) / repeats;
      const double after = ceiling();
      if (round > 0) samples.push_back({shape.flops() / elapsed, before, after});
    }
    return samples;
  }
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

Options parse(int argc, char** argv) {
  Options options;
  if (argc > 1 && std::strcmp(argv[1], "bf16") == 0) options.type = DType::bf16;
  if (argc > 1 && std::strcmp(argv[1], "u8") == 0) options.type = DType::u8;
  if (argc > 2) options.threads = std::atoi(argv[2]);
  if (argc > 3) options.rounds = std::max(1, std::atoi(argv[3]));
  if (argc > 4 && !parse_isa(argv[4], &options.isa)) {
    std::fprintf(stderr, "unknown instruction set '%s'\n", argv[4]);
    std::exit(2);
  }
  if (argc > 5) options.filter = argv[5];
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Bench bench{options};
  std::vector<std::pair<const Shape*, std::vector<Sample>>> results;
  const Network network(options.type);
  std::vector<double> ceilings;
  for (const Shape& shape : network.shapes) {
    if (shape.name.find(options.filter) == std::string::npos) continue;
    results.emplace_back(&shape, bench.measure(shape));
    for (const Sample& sample : results.back().second) ceilings.push_back(sample.ceiling());
  }
  const double ceiling = median(ceilings);
  double seconds = 0, floor = 0, flops = 0;
  std::printf("%-36s %5s %8s %9s %6s %7s\n", "shape", "count", "GFLOP", "GFLOP/s", "%", "ms");
  for (const auto& [shape, samples] : results) {
    std::vector<double> rates, fractions;
    for (const Sample& sample : samples) {
      if (sample.disturbed(samples)) continue;
      rates.push_back(sample.flops_per_second);
      fractions.push_back(sample.flops_per_second / sample.ceiling());
    }
    if (rates.empty()) {
      std::printf("%-36s every round was disturbed\n", shape->name.c_str());
      continue;
    }
    const double total = shape->flops() * shape->count, rate = median(rates);
    std::printf("%-36s %5d %8.2f %9.1f %6.1f %7.2f\n", shape->name.c_str(), shape->count,
                total * 1e-9, rate * 1e-9, 100 * median(fractions), total / rate * 1e3);
    seconds += total / median(fractions) / ceiling;
    floor += total / ceiling;
    flops += total;
  }
  std::printf("%d threads, ceiling %.1f GFLOP/s, %.1f GFLOP: floor %.3f s, time %.3f s, %.3f\n",
              options.threads, ceiling * 1e-9, flops * 1e-9, floor, seconds, floor / seconds);
}
