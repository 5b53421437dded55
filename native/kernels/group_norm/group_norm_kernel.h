// GroupNorm over float verbs F in three parallel phases: moments per channel of each chunk of rows,
// their combination per group, normalisation with SiLU. Work is cut along rows, not groups, so that
// one image of 32 groups keeps every core busy; chunks depend on the shape alone, so results do not
// depend on the number of threads.
#pragma once

#include "kernels/group_norm/group_norm.h"
#include "simd/float_math.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
class GroupNorm {
 public:
  static const char* refuse(const GroupNormProblem& problem) {
    if (!is_f32_or_bf16(problem.input)) return "input is not f32 or bf16";
    if (!is_f32_or_bf16(problem.output) && problem.output != DType::u8) {
      return "output is not f32, bf16 or u8";
    }
    if (problem.activation != Activation::none && problem.activation != Activation::silu) {
      return "group norm fuses no activation but SiLU";
    }
    if ((problem.channels + problem.skip_channels) % problem.groups != 0) {
      return "groups do not divide the channels";
    }
    return nullptr;
  }

  static std::size_t scratch_bytes(const GroupNormProblem& problem, int) {
    const Plan plan(problem);
    return static_cast<std::size_t>(problem.batch * plan.floats_per_image()) * sizeof(float);
  }

  static void run(const GroupNormProblem& problem, const GroupNormOperands& operands,
                  const RunContext& context) {
    const Plan plan(problem);
    float* scratch = reinterpret_cast<float*>(context.scratch);
    context.pool.for_each(problem.batch * plan.chunks, [&](std::int64_t task, int) {
      const std::int64_t image = task / plan.chunks, chunk = task % plan.chunks;
      with_type(problem.input, [&](auto* type) {
        measure(type, problem, operands, plan, image, chunk, plan.image(scratch, image));
      });
    });
    context.pool.for_each(problem.batch * problem.groups, [&](std::int64_t task, int) {
      const std::int64_t image = task / problem.groups, group = task % problem.groups;
      combine(problem, operands, plan, group, plan.image(scratch, image));
    });
    context.pool.for_each(problem.batch * plan.chunks, [&](std::int64_t task, int) {
      const std::int64_t image = task / plan.chunks, chunk = task % plan.chunks;
      with_type(problem.input, [&](auto* in) {
        with_result_type(problem.output, [&](auto* out) {
          if (problem.activation == Activation::silu) {
            apply<Activation::silu>(in, out, problem, operands, plan, image, chunk, scratch);
          } else {
            apply<Activation::none>(in, out, problem, operands, plan, image, chunk, scratch);
          }
        });
      });
    });
  }

 private:
  using Vector = typename F::Vector;

  // How an image is cut and where its scratch lies: [chunks][shift, rest, squares][channels], where
  // shift + rest is the mean of the chunk, unrounded; then the three vectors of the last phase,
  // [mean, scale, offset][channels].
  struct Plan {
    static constexpr std::int64_t kMaxChunks = 16, kMinRows = 8;
    std::int64_t channels, rows, rows_per_chunk, chunks;

    explicit Plan(const GroupNormProblem& problem)
        : channels(problem.channels + problem.skip_channels), rows(problem.rows) {
      rows_per_chunk = (rows + kMaxChunks - 1) / kMaxChunks;
      rows_per_chunk = (rows_per_chunk + kMinRows - 1) / kMinRows * kMinRows;
      chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
    }
    std::int64_t begin(std::int64_t chunk) const { return chunk * rows_per_chunk; }
    std::int64_t size(std::int64_t chunk) const {
      const std::int64_t left = rows - begin(chunk);
      return left < rows_per_chunk ? left : rows_per_chunk;
    }
    std::int64_t floats_per_image() const { return (3 * chunks + 3) * channels; }
    float* image(float* scratch, std::int64_t index) const {
      return scratch + index * floats_per_image();
    }
    float* shift(float* image, std::int64_t chunk) const { return image + 3 * chunk * channels; }
    float* rest(float* image, std::int64_t chunk) const { return shift(image, chunk) + channels; }
    float* squares(float* image, std::int64_t chunk) const { return rest(image, chunk) + channels; }
    float* result(float* image, int which) const { return shift(image, chunks) + which * channels; }
  };

  // Calls body(source, its channels, its first channel in the concatenation) for x, then skip.
  template <class T, class Body>
  static void for_sources(const GroupNormProblem& problem, const GroupNormOperands& operands,
                          const Body& body) {
    body(static_cast<const T*>(operands.x), problem.channels, std::int64_t{0});
    if (problem.skip_channels != 0) {
      body(static_cast<const T*>(operands.skip), problem.skip_channels, problem.channels);
    }
  }

  // Moments of every channel over one chunk. Sums run over differences
  // from the chunk's first row, which keeps them exact where a channel's mean is large beside its
  // spread, and in tiles of 8 rows, which keeps partial sums short and in registers.
  template <class T>
  static void measure(T*, const GroupNormProblem& problem, const GroupNormOperands& operands,
                      const Plan& plan, std::int64_t image, std::int64_t chunk, float* scratch) {
    const std::int64_t rows = plan.size(chunk);
    for_sources<T>(problem, operands, [&](const T* source, std::int64_t n, std::int64_t first) {
      const T* x = source + (image * problem.rows + plan.begin(chunk)) * n;
      float* shift = plan.shift(scratch, chunk) + first;
      float* rest = plan.rest(scratch, chunk) + first;
      float* squares = plan.squares(scratch, chunk) + first;
      for (std::int64_t row = 0; row < rows; row += 8) {
        const std::int64_t tile = rows - row < 8 ? rows - row : 8;
        for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
          Vector sum = row == 0 ? F::zero() : lanes.load(rest + c);
          Vector square = row == 0 ? F::zero() : lanes.load(squares + c);
          add_tile(x + row * n + c, n, tile, lanes.load(x + c), sum, square, lanes);
          lanes.store(rest + c, sum);
          lanes.store(squares + c, square);
        });
      }
      const Vector per_row = F::splat(1.0f / static_cast<float>(rows));
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        const Vector sum = lanes.load(rest + c), mean = F::mul(sum, per_row);
        lanes.store(shift + c, lanes.load(x + c));
        lanes.store(rest + c, mean);
        lanes.store(squares + c, F::fnma(sum, mean, lanes.load(squares + c)));
      });
    });
  }

  template <class T, class Lanes>
  BOOKEND_VERB void add_tile(const T* x, std::int64_t stride, std::int64_t rows, Vector shift,
                             Vector& sum, Vector& square, const Lanes& lanes) {
    Vector tile_sum = F::zero(), tile_square = F::zero();
    for (std::int64_t row = 0; row < rows; ++row) {
      const Vector d = F::sub(lanes.load(x + row * stride), shift);
      tile_sum = F::add(tile_sum, d);
      tile_square = F::fma(d, d, tile_square);
    }
    sum = F::add(sum, tile_sum);
    square = F::add(square, tile_square);
  }

  // Pools the moments of one group after Chan, Golub and LeVeque, "Updating Formulae and a Pairwise
  // Algorithm for Computing Sample Variances" (1979), in double: there are few. y = (x - mean)
  // scale + offset takes the mean rounded to float, and what that lost goes into the offset.
  static void combine(const GroupNormProblem& problem, const GroupNormOperands& operands,
                      const Plan& plan, std::int64_t group, float* scratch) {
    const std::int64_t size = plan.channels / problem.groups, first = group * size;
    const double count = static_cast<double>(size) * static_cast<double>(plan.rows);
    double total = 0, within = 0, between = 0;
    for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
      const float* shift = plan.shift(scratch, chunk) + first;
      const float* rest = plan.rest(scratch, chunk) + first;
      double sum = 0;
      for (std::int64_t c = 0; c < size; ++c) {
        sum += static_cast<double>(shift[c]) + static_cast<double>(rest[c]);
      }
      total += sum * static_cast<double>(plan.size(chunk));
    }
    const double mean_of_group = total / count;
    for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
      const float* shift = plan.shift(scratch, chunk) + first;
      const float* rest = plan.rest(scratch, chunk) + first;
      const float* squares = plan.squares(scratch, chunk) + first;
      double sum = 0;
      for (std::int64_t c = 0; c < size; ++c) {
        const double from_shift = static_cast<double>(shift[c]) - mean_of_group;
        const double d = from_shift + static_cast<double>(rest[c]);
        sum += d * d;
        within += static_cast<double>(squares[c]);
      }
      between += sum * static_cast<double>(plan.size(chunk));
    }
    const double variance = (within + between) / count;
    const double scale = 1.0 / __builtin_sqrt(variance + static_cast<double>(problem.epsilon));
    const float rounded = static_cast<float>(mean_of_group);
    const double lost = mean_of_group - static_cast<double>(rounded);
    for (std::int64_t c = first; c < first + size; ++c) {
      const double channel_scale = scale * static_cast<double>(operands.gamma[c]);
      plan.result(scratch, 0)[c] = rounded;
      plan.result(scratch, 1)[c] = static_cast<float>(channel_scale);
      plan.result(scratch, 2)[c] =
          static_cast<float>(static_cast<double>(operands.beta[c]) - lost * channel_scale);
    }
  }

  template <Activation activation, class In, class Out>
  static void apply(In*, Out*, const GroupNormProblem& problem, const GroupNormOperands& operands,
                    const Plan& plan, std::int64_t image, std::int64_t chunk, float* scratch) {
    float* moments = plan.image(scratch, image);
    const std::int64_t begin = image * problem.rows + plan.begin(chunk);
    const auto quantizer = Quantizer<F>::of(problem.quantize_scale, problem.quantize_zero);
    for_sources<In>(problem, operands, [&](const In* source, std::int64_t n, std::int64_t first) {
      const float* mean = plan.result(moments, 0) + first;
      const float* scale = plan.result(moments, 1) + first;
      const float* offset = plan.result(moments, 2) + first;
      for (std::int64_t row = begin; row < begin + plan.size(chunk); ++row) {
        const In* x = source + row * n;
        Out* out = static_cast<Out*>(operands.out) + row * plan.channels + first;
        for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
          const Vector d = F::sub(lanes.load(x + c), lanes.load(mean + c));
          const Vector y = F::fma(d, lanes.load(scale + c), lanes.load(offset + c));
          lanes.store(out + c, quantizer.apply(out, activate<F, activation>(y)));
        });
      }
    });
  }
};

}  // namespace
}  // namespace bookend
