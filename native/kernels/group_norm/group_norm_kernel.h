// GroupNorm over float verbs F in three parallel phases: moments per channel of each chunk of rows,
// their combination per group, normalisation with SiLU. Work is cut along rows, not groups: rows of
// all channels lie side by side, and a group's few channels share their cache lines with the groups
// beside it. Chunks depend on the shape alone, so results do not depend on the number of threads,
// nor on what a task is: split by groups or channels, it measures the same chunks.
#pragma once

#include "kernels/group_norm/group_norm_plan.h"
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
    const GroupNormPlan plan(problem);
    return static_cast<std::size_t>(problem.batch * plan.floats_per_image()) * sizeof(float);
  }

  static void run(const GroupNormProblem& problem, const GroupNormOperands& operands,
                  const RunContext& context) {
    const GroupNormPlan plan(problem);
    float* scratch = reinterpret_cast<float*>(context.scratch);
    const auto measure_piece = [&](std::int64_t task, int) {
      with_type(problem.input, [&](auto* type) {
        measure(type, problem, operands, plan, plan.piece(task), scratch);
      });
    };
    const auto combine_group = [&](std::int64_t task, int) {
      const std::int64_t image = task / problem.groups, group = task % problem.groups;
      combine(problem, operands, plan, group, plan.image(scratch, image));
    };
    const auto apply_piece = [&](std::int64_t task, int) {
      with_type(problem.input, [&](auto* in) {
        with_result_type(problem.output, [&](auto* out) {
          const GroupNormPiece piece = plan.piece(task);
          if (problem.activation == Activation::silu) {
            apply<Activation::silu>(in, out, problem, operands, plan, piece, scratch);
          } else {
            apply<Activation::none>(in, out, problem, operands, plan, piece, scratch);
          }
        });
      });
    };
    if (problem.split == GroupNormSplit::groups) {
      context.pool.for_each(problem.batch * problem.groups, [&](std::int64_t task, int worker) {
        measure_piece(task, worker);
        combine_group(task, worker);
        apply_piece(task, worker);
      });
      return;
    }
    context.pool.for_each(problem.batch * plan.pieces, measure_piece);
    context.pool.for_each(problem.batch * problem.groups, combine_group);
    context.pool.for_each(problem.batch * plan.pieces, apply_piece);
  }

 private:
  using Vector = typename F::Vector;

  // Calls body(source, channels of its rows, how many of them, the first one in the concatenation)
  // for the part of `piece` that lies in x, then in skip; `source` points at its first channel.
  template <class T, class Body>
  static void for_sources(const GroupNormProblem& problem, const GroupNormOperands& operands,
                          const GroupNormPiece& piece, const Body& body) {
    const std::int64_t n = problem.channels;
    if (piece.first < n) {
      const std::int64_t end = piece.end < n ? piece.end : n;
      body(static_cast<const T*>(operands.x) + piece.first, n, end - piece.first, piece.first);
    }
    if (piece.end > n) {
      const std::int64_t first = piece.first > n ? piece.first : n;
      body(static_cast<const T*>(operands.skip) + (first - n), problem.skip_channels,
           piece.end - first, first);
    }
  }

  // Moments of every channel over each chunk. Sums run over differences
  // from the chunk's first row, which keeps them exact where a channel's mean is large beside its
  // spread, and in tiles of 8 rows, which keeps partial sums short and in registers.
  template <class T>
  static void measure(T*, const GroupNormProblem& problem, const GroupNormOperands& operands,
                      const GroupNormPlan& plan, const GroupNormPiece& piece, float* scratch) {
    float* moments = plan.image(scratch, piece.image);
    for (std::int64_t chunk = piece.chunk; chunk < piece.end_chunk; ++chunk) {
      const std::int64_t begin = piece.image * problem.rows + plan.begin(chunk);
      for_sources<T>(problem, operands, piece,
                     [&](const T* source, std::int64_t stride, std::int64_t n, std::int64_t first) {
                       measure_chunk(source + begin * stride, stride, n, plan.size(chunk),
                                     plan.shift(moments, chunk) + first,
                                     plan.rest(moments, chunk) + first,
                                     plan.squares(moments, chunk) + first);
                     });
    }
  }

  template <class T>
  static void measure_chunk(const T* x, std::int64_t stride, std::int64_t n, std::int64_t rows,
                            float* shift, float* rest, float* squares) {
    for (std::int64_t row = 0; row < rows; row += 8) {
      const std::int64_t tile = rows - row < 8 ? rows - row : 8;
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        Vector sum = row == 0 ? F::zero() : lanes.load(rest + c);
        Vector square = row == 0 ? F::zero() : lanes.load(squares + c);
        add_tile(x + row * stride + c, stride, tile, lanes.load(x + c), sum, square, lanes);
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
                      const GroupNormPlan& plan, std::int64_t group, float* scratch) {
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
                    const GroupNormPlan& plan, const GroupNormPiece& piece, float* scratch) {
    float* moments = plan.image(scratch, piece.image);
    const std::int64_t image = piece.image * problem.rows;
    const std::int64_t begin = image + plan.begin(piece.chunk);
    const std::int64_t last = piece.end_chunk - 1;
    const std::int64_t end = image + plan.begin(last) + plan.size(last);
    const auto quantizer = Quantizer<F>::of(problem.quantize_scale, problem.quantize_zero);
    const auto each = [&](const In* source, std::int64_t stride, std::int64_t n,
                          std::int64_t first) {
      const float* mean = plan.result(moments, 0) + first;
      const float* scale = plan.result(moments, 1) + first;
      const float* offset = plan.result(moments, 2) + first;
      for (std::int64_t row = begin; row < end; ++row) {
        const In* x = source + row * stride;
        Out* out = static_cast<Out*>(operands.out) + row * plan.channels + first;
        for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
          const Vector d = F::sub(lanes.load(x + c), lanes.load(mean + c));
          const Vector y = F::fma(d, lanes.load(scale + c), lanes.load(offset + c));
          lanes.store(out + c, quantizer.apply(out, activate<F, activation>(y)));
        });
      }
    };
    for_sources<In>(problem, operands, piece, each);
  }
};

}  // namespace
}  // namespace bookend
