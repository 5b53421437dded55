// What follows the sums of a tile: bias, time-embedding row, activation, residual, scale, store.
#pragma once

#include "kernels/conv2d/conv2d.h"
#include "simd/float_math.h"

namespace bookend {
namespace {

// A tile of finished sums and where it goes.
struct TileOutput {
  const float* sums;        // rows x sums_stride
  std::int64_t sums_stride;
  std::int64_t gate_offset;  // geglu: from a value's sum to its gate's
  std::int64_t first_row;    // of the output
  std::int64_t rows;
  std::int64_t first_column;
  std::int64_t columns;
};

template <class F>
[[gnu::always_inline]] inline typename F::Vector add_bias(typename F::Vector sum,
                                                          const float* bias, int count) {
  return bias == nullptr ? sum : F::add(sum, F::load_part(bias, count));
}

template <class F, class Output, Activation activation>
void finish_tile(const Conv2dProblem& problem, const Conv2dOperands& operands,
                 const TileOutput& tile) {
  const std::int64_t out_columns = problem.out_columns();
  const std::int64_t pixels = problem.out_height * problem.out_width;
  const auto scale = F::splat(problem.output_scale);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const std::int64_t row = tile.first_row + r;
    const std::int64_t at = row * out_columns + tile.first_column;
    const float* sums = tile.sums + r * tile.sums_stride;
    Output* out = static_cast<Output*>(operands.out) + at;
    const Output* residual =
        problem.has_residual ? static_cast<const Output*>(operands.residual) + at : nullptr;
    const float* bias = problem.has_bias ? operands.bias + tile.first_column : nullptr;
    const float* row_bias =
        problem.has_row_bias
            ? operands.row_bias + row / pixels * problem.out_channels + tile.first_column
            : nullptr;
    for (std::int64_t c = 0; c < tile.columns; c += F::width) {
      const std::int64_t rest = tile.columns - c;
      const int count = rest < F::width ? static_cast<int>(rest) : F::width;
      auto x = add_bias<F>(F::load(sums + c), bias == nullptr ? nullptr : bias + c, count);
      x = add_bias<F>(x, row_bias == nullptr ? nullptr : row_bias + c, count);
      if constexpr (activation == Activation::geglu) {
        auto gate = F::load(sums + tile.gate_offset + c);
        gate = add_bias<F>(gate, bias == nullptr ? nullptr : bias + out_columns + c, count);
        gate = add_bias<F>(gate, row_bias == nullptr ? nullptr : row_bias + out_columns + c, count);
        x = F::mul(x, gelu<F>(gate));
      } else {
        x = activate<F, activation>(x);
      }
      if (residual != nullptr) x = F::add(x, F::load_part(residual + c, count));
      F::store_part(out + c, F::mul(x, scale), count);
    }
  }
}

using FinishTile = void (*)(const Conv2dProblem&, const Conv2dOperands&, const TileOutput&);

template <class F, class Output>
FinishTile select_finish_as(Activation activation) {
  switch (activation) {
    case Activation::none:
      return finish_tile<F, Output, Activation::none>;
    case Activation::silu:
      return finish_tile<F, Output, Activation::silu>;
    case Activation::gelu:
      return finish_tile<F, Output, Activation::gelu>;
    case Activation::gelu_tanh:
      return finish_tile<F, Output, Activation::gelu_tanh>;
    case Activation::quick_gelu:
      return finish_tile<F, Output, Activation::quick_gelu>;
    case Activation::geglu:
      return finish_tile<F, Output, Activation::geglu>;
  }
  __builtin_unreachable();
}

template <class F>
FinishTile select_finish(const Conv2dProblem& problem) {
  return problem.output == DType::f32 ? select_finish_as<F, float>(problem.activation)
                                      : select_finish_as<F, Bf16>(problem.activation);
}

}  // namespace
}  // namespace bookend
