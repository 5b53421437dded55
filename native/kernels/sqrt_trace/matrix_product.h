// Products of matrices of doubles.
#pragma once

#include "base/thread_pool.h"
#include "kernels/sqrt_trace/doubles.h"

namespace bookend {
namespace {

// c [rows, columns] = x [rows, depth] y [depth, columns], or c - x y; each row-major.
struct MatrixProduct {
  const double* x;
  const double* y;
  double* c;
  std::int64_t x_stride, y_stride, c_stride;
  std::int64_t rows, columns, depth;
};

template <class D>
constexpr std::int64_t kPanelColumns = 2 * D::width;

// Doubles that `multiply` wants for each worker.
template <class D>
constexpr std::int64_t panel_doubles(std::int64_t depth) {
  return depth * kPanelColumns<D>;
}

// Rows [first, first + D::rows) of c, as far as there are any, in the columns of a packed panel.
template <class D, bool subtract>
void multiply_tile(const MatrixProduct& product, const double* panel, std::int64_t first,
                   std::int64_t column) {
  using Vector = typename D::Vector;
  constexpr int kRows = D::rows, kWidth = D::width;
  const std::int64_t rows = product.rows - first < kRows ? product.rows - first : kRows;
  const double* x[kRows];  // rows beyond the last repeat it
  for (int r = 0; r < kRows; ++r) {
    x[r] = product.x + (first + (r < rows ? r : rows - 1)) * product.x_stride;
  }
  Vector sums[kRows][2] = {};
  for (std::int64_t k = 0; k < product.depth; ++k, panel += 2 * kWidth) {
    const Vector left = load_doubles<D>(panel), right = load_doubles<D>(panel + kWidth);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      sums[r][0] += x[r][k] * left;
      sums[r][1] += x[r][k] * right;
    }
  }
  const std::int64_t left_over = product.columns - column;
  const int columns = static_cast<int>(left_over < 2 * kWidth ? left_over : 2 * kWidth);
  for (int r = 0; r < rows; ++r) {
    double* c = product.c + (first + r) * product.c_stride + column;
    for (int i = 0; i < columns; ++i) {
      const double sum = sums[r][i / kWidth][i % kWidth];
      c[i] = subtract ? c[i] - sum : sum;
    }
  }
}

// A task is a panel of columns, whose part of y is brought together first. `panels` has
// panel_doubles(depth) doubles for each worker.
template <class D, bool subtract>
void multiply(const MatrixProduct& product, double* panels, ThreadPool& pool) {
  constexpr std::int64_t kColumns = kPanelColumns<D>;
  pool.for_each((product.columns + kColumns - 1) / kColumns, [&](std::int64_t task, int worker) {
    const std::int64_t column = task * kColumns;
    const std::int64_t left = product.columns - column, columns = left < kColumns ? left : kColumns;
    double* panel = panels + worker * panel_doubles<D>(product.depth);
    for (std::int64_t k = 0; k < product.depth; ++k) {
      const double* y = product.y + k * product.y_stride + column;
      for (std::int64_t i = 0; i < kColumns; ++i) panel[k * kColumns + i] = i < columns ? y[i] : 0;
    }
    for (std::int64_t row = 0; row < product.rows; row += D::rows) {
      multiply_tile<D, subtract>(product, panel, row, column);
    }
  });
}

// out [columns, rows] = x [rows, columns] turned around.
void turn(const double* x, std::int64_t x_stride, std::int64_t rows, std::int64_t columns,
          double* out, std::int64_t out_stride, ThreadPool& pool) {
  constexpr std::int64_t kBlock = 16;
  pool.for_each((columns + kBlock - 1) / kBlock, [&](std::int64_t task, int) {
    const std::int64_t begin = task * kBlock;
    const std::int64_t end = begin + kBlock < columns ? begin + kBlock : columns;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t i = begin; i < end; ++i) {
        out[i * out_stride + row] = x[row * x_stride + i];
      }
    }
  });
}

}  // namespace
}  // namespace bookend
