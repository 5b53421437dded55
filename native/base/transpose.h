// Transposition in 16-byte vectors, which every machine has. Numbers are only moved: the type is the
// unsigned integer of their size.
#pragma once

#include <cstdint>
#include <cstring>

namespace bookend {

template <class T>
struct SixteenBytes {
  typedef T Vector __attribute__((vector_size(16)));
  static constexpr int kCount = 16 / sizeof(T);
};

// The lower halves of a and b, element by element in turn; or the upper halves.
template <class V>
inline V interleave_low(V a, V b) {
  if constexpr (sizeof(a[0]) == 4) return __builtin_shufflevector(a, b, 0, 4, 1, 5);
  if constexpr (sizeof(a[0]) == 2) {
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  }
  if constexpr (sizeof(a[0]) == 1) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
}
template <class V>
inline V interleave_high(V a, V b) {
  if constexpr (sizeof(a[0]) == 4) return __builtin_shufflevector(a, b, 2, 6, 3, 7);
  if constexpr (sizeof(a[0]) == 2) {
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  if constexpr (sizeof(a[0]) == 1) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                   31);
  }
}

// As many rows as a vector has elements. Interleaving the first half of the rows with the second
// turns the bits of an element's position around by one; as often as a row's number has bits
// exchanges rows and columns.
template <class T>
inline void transpose_square(const T* from, std::int64_t from_stride, T* to,
                             std::int64_t to_stride) {
  using V = typename SixteenBytes<T>::Vector;
  constexpr int n = SixteenBytes<T>::kCount;
  V rows[n], turned[n];
  for (int i = 0; i < n; ++i) std::memcpy(&rows[i], from + i * from_stride, sizeof(V));
#pragma GCC unroll 4
  for (int bit = 1; bit < n; bit *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; ++i) {
      turned[2 * i] = interleave_low(rows[i], rows[i + n / 2]);
      turned[2 * i + 1] = interleave_high(rows[i], rows[i + n / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) rows[i] = turned[i];
  }
  for (int i = 0; i < n; ++i) std::memcpy(to + i * to_stride, &rows[i], sizeof(V));
}

// to[column][row] = from[row][column]. A cache line of a few rows at a time, and the ones after next
// of the same rows are fetched: more rows are read at once than hardware follows.
template <class T>
inline void transpose(const T* from, std::int64_t from_stride, std::int64_t rows,
                      std::int64_t columns, T* to, std::int64_t to_stride) {
  constexpr std::int64_t n = SixteenBytes<T>::kCount, kLine = 64 / sizeof(T);
  for (std::int64_t begin = 0; begin < columns; begin += kLine) {
    const std::int64_t end = begin + kLine < columns ? begin + kLine : columns;
    std::int64_t row = 0;
    for (; row + n <= rows; row += n) {
      const T* first = from + row * from_stride;
      for (int i = 0; i < n; ++i) __builtin_prefetch(first + i * from_stride + begin + 2 * kLine);
      std::int64_t column = begin;
      for (; column + n <= end; column += n) {
        transpose_square(first + column, from_stride, to + column * to_stride + row, to_stride);
      }
      for (; column < end; ++column) {
        for (int i = 0; i < n; ++i) {
          to[column * to_stride + row + i] = first[i * from_stride + column];
        }
      }
    }
    for (; row < rows; ++row) {
      for (std::int64_t column = begin; column < end; ++column) {
        to[column * to_stride + row] = from[row * from_stride + column];
      }
    }
  }
}

}  // namespace bookend
