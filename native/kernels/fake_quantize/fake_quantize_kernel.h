// Fake quantization over float verbs F.
#pragma once

#include "kernels/fake_quantize/fake_quantize.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
class FakeQuantize {
 public:
  static const char* refuse(const FakeQuantizeProblem& problem) {
    const bool known = is_f32_or_bf16(problem.input) && is_f32_or_bf16(problem.gradient) &&
                       is_f32_or_bf16(problem.output);
    return known ? nullptr : "an operand is not f32 or bf16";
  }

  // Of every piece of every group, the sum that the gradient of the scale is made of.
  static std::size_t scratch_bytes(const FakeQuantizeProblem& problem, int) {
    if (!problem.of_scale()) return 0;
    return static_cast<std::size_t>(problem.groups * pieces(problem)) * sizeof(double);
  }

  static void run(const FakeQuantizeProblem& problem, const FakeQuantizeOperands& operands,
                  const RunContext& context) {
    double* sums = reinterpret_cast<double*>(context.scratch);
    for_pieces(problem, context, [&](const Piece& piece) {
      const Codes codes(problem, operands, piece.group);
      switch (problem.result) {
        case FakeQuantizeResult::value:
          return values(problem, codes, operands, piece);
        case FakeQuantizeResult::gradient:
          differentiate<true, false>(problem, codes, operands, piece);
          return;
        case FakeQuantizeResult::scale_gradient:
          sums[piece.index] = differentiate<false, true>(problem, codes, operands, piece);
          return;
        case FakeQuantizeResult::gradients:
          sums[piece.index] = differentiate<true, true>(problem, codes, operands, piece);
          return;
      }
    });
    if (problem.of_scale()) add_sums(problem, sums, operands.scale_gradient);
  }

 private:
  using Vector = typename F::Vector;
  static constexpr std::int64_t kPiece = 16384;

  // A run of elements of one group: [begin, begin + count) of the whole tensor.
  struct Piece {
    std::int64_t index, group, begin, count;
  };

  // The codes of one group, in steps from 0. `max` and `min` have the tested number second, which
  // lets NaN through.
  struct Codes {
    Vector scale, lowest, highest;

    Codes(const FakeQuantizeProblem& problem, const FakeQuantizeOperands& operands,
          std::int64_t group) {
      const float zero = operands.zero == nullptr ? 0.0f : operands.zero[group];
      scale = F::splat(operands.scale[group]);
      lowest = F::splat(problem.lowest - zero);
      highest = F::splat(problem.highest - zero);
    }
    Vector held(Vector steps) const { return F::min(highest, F::max(lowest, steps)); }
    // `inside` where the steps are rounded to codes, `outside` beyond.
    Vector where(Vector steps, Vector inside, Vector outside) const {
      const Vector rounded = F::round(steps);
      return F::select_less(rounded, lowest, outside,
                            F::select_less(highest, rounded, outside, inside));
    }
  };

  static std::int64_t pieces(const FakeQuantizeProblem& problem) {
    return (problem.count + kPiece - 1) / kPiece;
  }

  // Calls body for every piece, about kPiece elements to a task. Pieces are cut by the problem alone.
  template <class Body>
  static void for_pieces(const FakeQuantizeProblem& problem, const RunContext& context,
                         const Body& body) {
    const std::int64_t per_group = pieces(problem), total = problem.groups * per_group;
    const std::int64_t per_task = 1 + kPiece / (problem.count + 1);
    context.pool.for_each((total + per_task - 1) / per_task, [&](std::int64_t task, int) {
      for (std::int64_t i = task * per_task; i < (task + 1) * per_task && i < total; ++i) {
        const std::int64_t group = i / per_group, begin = i % per_group * kPiece;
        const std::int64_t left = problem.count - begin;
        body(Piece{i, group, group * problem.count + begin, left < kPiece ? left : kPiece});
      }
    });
  }

  static void values(const FakeQuantizeProblem& problem, const Codes& codes,
                     const FakeQuantizeOperands& operands, const Piece& piece) {
    for_lanes<F>(piece.count, [&](std::int64_t i, const auto& lanes) {
      const Vector x = load_as<F>(problem.input, operands.x, piece.begin + i, lanes);
      const Vector rounded = F::round(codes.held(F::div(x, codes.scale)));
      store_as<F>(problem.output, operands.out, piece.begin + i, F::mul(rounded, codes.scale),
                  lanes);
    });
  }

  // The gradient of x, and what a piece adds to that of the scale: lanes are added up over short
  // runs only, and these in double.
  template <bool of_x, bool of_scale>
  static double differentiate(const FakeQuantizeProblem& problem, const Codes& codes,
                              const FakeQuantizeOperands& operands, const Piece& piece) {
    constexpr std::int64_t kRun = 32 * F::width;
    double total = 0;
    for (std::int64_t begin = 0; begin < piece.count; begin += kRun) {
      const std::int64_t left = piece.count - begin, first = piece.begin + begin;
      Vector sum = F::zero();
      for_lanes<F>(left < kRun ? left : kRun, [&](std::int64_t i, const auto& lanes) {
        const Vector x = load_as<F>(problem.input, operands.x, first + i, lanes);
        const Vector gradient = load_as<F>(problem.gradient, operands.gradient, first + i, lanes);
        const Vector steps = F::div(x, codes.scale);
        if constexpr (of_x) {
          store_as<F>(problem.output, operands.out, first + i,
                      codes.where(steps, gradient, F::zero()), lanes);
        }
        if constexpr (of_scale) {
          const Vector rounded = F::round(codes.held(steps));
          const Vector factor = F::sub(rounded, codes.where(steps, steps, F::zero()));
          sum = F::add(sum, lanes.keep(F::mul(gradient, factor), F::zero()));
        }
      });
      if constexpr (of_scale) total += static_cast<double>(F::reduce_add(sum));
    }
    return total;
  }

  static void add_sums(const FakeQuantizeProblem& problem, const double* sums, float* out) {
    const std::int64_t per_group = pieces(problem);
    for (std::int64_t group = 0; group < problem.groups; ++group) {
      double total = 0;
      for (std::int64_t i = 0; i < per_group; ++i) total += sums[group * per_group + i];
      out[group] = static_cast<float>(total * static_cast<double>(problem.gradient_scale));
    }
  }
};

}  // namespace
}  // namespace bookend
