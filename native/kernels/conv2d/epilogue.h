// What follows the sums of a tile: scale of integer sums, bias, time-embedding row, activation,
// residual, scale, store.
#pragma once

#include "kernels/conv2d/conv2d.h"
#include "simd/float_math.h"

namespace bookend {
namespace {

// A tile of finished sums and where it goes.
template <class Sum>
struct TileOutput {
  const Sum* sums;           // rows x sums_stride
  const Sum* skip_sums;      // of the second source, where its sums are apart; else nullptr
  std::int64_t sums_stride;
  std::int64_t gate_offset;  // geglu: from a value's sum to its gate's
  std::int64_t first_row;    // of the output
  std::int64_t rows;
  std::int64_t first_column;
  std::int64_t columns;
  const float* multipliers[2];  // [out_channels] for each source of integer sums
};

// Stands for an absent bias: adding zeros costs less than asking. As long as a panel is wide.
constexpr float kNoBias[64] = {};

// What makes real numbers of one row's sums, before the activation.
template <class Sum>
struct RowSums {
  const Sum *sums, *skip_sums;
  const float *multiplier, *skip_multiplier;  // of integer sums
  const float *bias, *row_bias;

  // The same for columns that are `sums` and `channels` further on.
  RowSums shifted(std::int64_t by_sums, std::int64_t by_channels, bool has_bias,
                  bool has_row_bias) const {
    RowSums result = *this;
    result.sums += by_sums;
    result.multiplier += by_channels;
    if (skip_sums != nullptr) {
      result.skip_sums += by_sums;
      result.skip_multiplier += by_channels;
    }
    if (has_bias) result.bias += by_channels;
    if (has_row_bias) result.row_bias += by_channels;
    return result;
  }
};

// Columns [c, c + F::width) of a row, or only the first `count` of them unless `whole`.
template <class F, bool whole>
struct Columns {
  std::int64_t c;
  int count;

  template <class T>
  [[gnu::always_inline]] inline typename F::Vector load(const T* row) const {
    return whole ? F::load(row + c) : F::load_part(row + c, count);
  }
  template <class T>
  [[gnu::always_inline]] inline void store(T* row, typename F::Vector x) const {
    if constexpr (whole) {
      F::store(row + c, x);
    } else {
      F::store_part(row + c, x, count);
    }
  }
  [[gnu::always_inline]] inline typename F::Vector real(const RowSums<float>& from) const {
    return F::add(F::load(from.sums + c), F::add(load(from.bias), load(from.row_bias)));
  }
  [[gnu::always_inline]] inline typename F::Vector real(const RowSums<std::int32_t>& from) const {
    auto x = F::add(load(from.bias), load(from.row_bias));
    if (from.skip_sums != nullptr) {
      x = F::fma(F::load(from.skip_sums + c), load(from.skip_multiplier), x);
    }
    return F::fma(F::load(from.sums + c), load(from.multiplier), x);
  }
};

// Where a row goes; a pointer is nullptr where the problem does without it.
template <class Output>
struct RowTargets {
  const Output* residual;
  Output* out;
  std::uint8_t* quantized;
};

template <class F>
struct Scales {
  typename F::Vector output, quantize, zero;
};

template <class F, class Output, Activation activation, class Sum, bool whole>
[[gnu::always_inline]] inline void finish_vector(const RowSums<Sum>& values,
                                                 const RowSums<Sum>& gates,
                                                 const RowTargets<Output>& row,
                                                 const Scales<F>& scales,
                                                 const Columns<F, whole>& columns) {
  auto x = columns.real(values);
  if constexpr (activation == Activation::geglu) {
    x = F::mul(x, gelu<F>(columns.real(gates)));
  } else {
    x = activate<F, activation>(x);
  }
  if (row.residual != nullptr) x = F::add(x, columns.load(row.residual));
  x = F::mul(x, scales.output);
  if (row.out != nullptr) columns.store(row.out, x);
  if (row.quantized != nullptr) columns.store(row.quantized, F::fma(x, scales.quantize, scales.zero));
}

template <class Sum>
[[gnu::always_inline]] inline RowSums<Sum> row_sums(const Conv2dProblem& problem,
                                                    const Conv2dOperands& operands,
                                                    const TileOutput<Sum>& tile, std::int64_t r) {
  const std::int64_t pixels = problem.out_height * problem.out_width;
  const std::int64_t at = r * tile.sums_stride, column = tile.first_column;
  RowSums<Sum> result{tile.sums + at, nullptr, nullptr, nullptr, kNoBias, kNoBias};
  if (tile.multipliers[0] != nullptr) result.multiplier = tile.multipliers[0] + column;
  if (tile.skip_sums != nullptr) {
    result.skip_sums = tile.skip_sums + at;
    result.skip_multiplier = tile.multipliers[1] + column;
  }
  if (problem.has_bias) result.bias = operands.bias + column;
  if (problem.has_row_bias) {
    const std::int64_t image = (tile.first_row + r) / pixels;
    result.row_bias = operands.row_bias + image * problem.out_channels + column;
  }
  return result;
}

template <class Output>
[[gnu::always_inline]] inline RowTargets<Output> row_targets(const Conv2dProblem& problem,
                                                             const Conv2dOperands& operands,
                                                             std::int64_t at) {
  RowTargets<Output> result{};
  if (problem.has_residual) result.residual = static_cast<const Output*>(operands.residual) + at;
  if (problem.store != Store::quantized) result.out = static_cast<Output*>(operands.out) + at;
  if (problem.store != Store::floating) result.quantized = operands.quantized + at;
  return result;
}

template <class F, class Output, Activation activation, class Sum>
void finish_tile(const Conv2dProblem& problem, const Conv2dOperands& operands,
                 const TileOutput<Sum>& tile) {
  const Scales<F> scales{F::splat(problem.output_scale), F::splat(1.0f / problem.quantize_scale),
                         F::splat(problem.quantize_zero)};
  const std::int64_t out_columns = problem.out_columns();
  const std::int64_t whole = tile.columns / F::width * F::width;
  const int rest = static_cast<int>(tile.columns - whole);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto values = row_sums(problem, operands, tile, r);
    const auto gates = values.shifted(tile.gate_offset, out_columns, problem.has_bias,
                                      problem.has_row_bias);
    const auto row = row_targets<Output>(
        problem, operands, (tile.first_row + r) * out_columns + tile.first_column);
    for (std::int64_t c = 0; c < whole; c += F::width) {
      finish_vector<F, Output, activation>(values, gates, row, scales,
                                           Columns<F, true>{c, F::width});
    }
    if (rest != 0) {
      finish_vector<F, Output, activation>(values, gates, row, scales,
                                           Columns<F, false>{whole, rest});
    }
  }
}

template <class Sum>
using FinishTile = void (*)(const Conv2dProblem&, const Conv2dOperands&, const TileOutput<Sum>&);

template <class F, class Output, class Sum>
FinishTile<Sum> select_finish_as(Activation activation) {
  switch (activation) {
    case Activation::none:
      return finish_tile<F, Output, Activation::none, Sum>;
    case Activation::silu:
      return finish_tile<F, Output, Activation::silu, Sum>;
    case Activation::gelu:
      return finish_tile<F, Output, Activation::gelu, Sum>;
    case Activation::gelu_tanh:
      return finish_tile<F, Output, Activation::gelu_tanh, Sum>;
    case Activation::quick_gelu:
      return finish_tile<F, Output, Activation::quick_gelu, Sum>;
    case Activation::geglu:
      return finish_tile<F, Output, Activation::geglu, Sum>;
  }
  __builtin_unreachable();
}

template <class F, class Sum>
FinishTile<Sum> select_finish(const Conv2dProblem& problem) {
  return problem.output == DType::f32 ? select_finish_as<F, float, Sum>(problem.activation)
                                      : select_finish_as<F, Bf16, Sum>(problem.activation);
}

}  // namespace
}  // namespace bookend
