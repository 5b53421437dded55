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

// Stands for an absent bias: adding zeros costs less than asking. As long as a panel is wide.
constexpr float kNoBias[64] = {};

// One row of a tile: what is added to the sums before the activation, and what after.
template <class Output>
struct RowOperands {
  const float *bias, *row_bias;            // of the values, or of all columns
  const float *gate_bias, *gate_row_bias;  // geglu
  const Output* residual;                  // nullptr where there is none
  Output* out;
};

// Columns [c, c + F::width) of a row, or only the first `count` of them unless `whole`.
template <class F, class Output, Activation activation, bool whole>
[[gnu::always_inline]] inline void finish_vector(const float* sums, std::int64_t gate_offset,
                                                 const RowOperands<Output>& row, std::int64_t c,
                                                 int count, typename F::Vector scale) {
  const auto load = [count](const auto* from) [[gnu::always_inline]] {
    return whole ? F::load(from) : F::load_part(from, count);
  };
  auto x = F::add(F::load(sums + c), F::add(load(row.bias + c), load(row.row_bias + c)));
  if constexpr (activation == Activation::geglu) {
    const auto bias = F::add(load(row.gate_bias + c), load(row.gate_row_bias + c));
    x = F::mul(x, gelu<F>(F::add(F::load(sums + gate_offset + c), bias)));
  } else {
    x = activate<F, activation>(x);
  }
  if (row.residual != nullptr) x = F::add(x, load(row.residual + c));
  x = F::mul(x, scale);
  if constexpr (whole) {
    F::store(row.out + c, x);
  } else {
    F::store_part(row.out + c, x, count);
  }
}

template <class Output>
[[gnu::always_inline]] inline RowOperands<Output> row_operands(const Conv2dProblem& problem,
                                                               const Conv2dOperands& operands,
                                                               const TileOutput& tile,
                                                               std::int64_t row) {
  const std::int64_t columns = problem.out_columns();
  const std::int64_t pixels = problem.out_height * problem.out_width;
  const std::int64_t at = row * columns + tile.first_column;
  RowOperands<Output> result{kNoBias, kNoBias, kNoBias, kNoBias, nullptr,
                             static_cast<Output*>(operands.out) + at};
  if (problem.has_bias) {
    result.bias = operands.bias + tile.first_column;
    result.gate_bias = result.bias + columns;
  }
  if (problem.has_row_bias) {
    result.row_bias = operands.row_bias + row / pixels * problem.out_channels + tile.first_column;
    result.gate_row_bias = result.row_bias + columns;
  }
  if (problem.has_residual) result.residual = static_cast<const Output*>(operands.residual) + at;
  return result;
}

template <class F, class Output, Activation activation>
void finish_tile(const Conv2dProblem& problem, const Conv2dOperands& operands,
                 const TileOutput& tile) {
  const auto scale = F::splat(problem.output_scale);
  const std::int64_t whole = tile.columns / F::width * F::width;
  const int rest = static_cast<int>(tile.columns - whole);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const float* sums = tile.sums + r * tile.sums_stride;
    const auto row = row_operands<Output>(problem, operands, tile, tile.first_row + r);
    for (std::int64_t c = 0; c < whole; c += F::width) {
      finish_vector<F, Output, activation, true>(sums, tile.gate_offset, row, c, F::width, scale);
    }
    if (rest != 0) {
      finish_vector<F, Output, activation, false>(sums, tile.gate_offset, row, whole, rest, scale);
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
