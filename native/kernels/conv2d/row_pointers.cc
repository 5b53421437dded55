#include "kernels/conv2d/row_pointers.h"

namespace bookend {
namespace {

// One run of output pixels in one image row, for one tap: `source_row` is the input row it reads.
struct Run {
  const std::byte* source_row;
  std::int64_t first_x;  // input column, as the window sees it, of the run's first pixel
  std::int64_t width;    // of the input as the window sees it
  std::int64_t length;
};

void fill_run(const Conv2dProblem& problem, const Run& run, std::int64_t pixel_bytes,
              const std::byte* zeros, const std::byte** out) {
  std::int64_t x = run.first_x;
  for (std::int64_t i = 0; i < run.length; ++i, x += problem.stride) {
    const std::int64_t pixel = problem.upsample == 2 ? x >> 1 : x;
    const std::byte* inside = run.source_row + pixel * pixel_bytes;
    out[i] = x >= 0 && x < run.width ? inside : zeros;
  }
}

// The same where zeros stand between the pixels.
void fill_spread_run(const Conv2dProblem& problem, const Run& run, std::int64_t pixel_bytes,
                     const std::byte* zeros, const std::byte** out) {
  std::int64_t x = run.first_x;
  for (std::int64_t i = 0; i < run.length; ++i, x += problem.stride) {
    const bool inside = x >= 0 && x < run.width && x % problem.insertion == 0;
    out[i] = inside ? run.source_row + x / problem.insertion * pixel_bytes : zeros;
  }
}

}  // namespace

void fill_row_pointers(const Conv2dProblem& problem, const std::byte* source,
                       const SourceStrides& strides, const std::byte* zeros, std::int64_t first_row,
                       std::int64_t rows, std::int64_t padded_rows, const std::byte** table) {
  const std::int64_t height = problem.seen_height(), width = problem.seen_width();
  const std::int64_t repeats = problem.upsample * problem.insertion;  // one of them is 1
  const auto fill = problem.insertion > 1 ? fill_spread_run : fill_run;
  std::int64_t done = 0;
  while (done < rows) {
    const std::int64_t row = first_row + done;
    const std::int64_t out_x = row % problem.out_width;
    const std::int64_t out_y = row / problem.out_width % problem.out_height;
    const std::int64_t image = row / problem.out_width / problem.out_height;
    std::int64_t length = problem.out_width - out_x;
    if (length > rows - done) length = rows - done;
    const std::byte** out = table + done;
    for (int ky = 0; ky < problem.kernel_height; ++ky) {
      const std::int64_t y = out_y * problem.stride + ky - problem.pad_top;
      const std::byte* source_row = source + image * strides.image + y / repeats * strides.line;
      const bool inside =
          y >= 0 && y < height && (problem.insertion == 1 || y % problem.insertion == 0);
      for (int kx = 0; kx < problem.kernel_width; ++kx, out += padded_rows) {
        const std::int64_t x = out_x * problem.stride + kx - problem.pad_left;
        fill(problem, {source_row, x, inside ? width : 0, length}, strides.pixel, zeros, out);
      }
    }
    done += length;
  }
  const std::int64_t taps = static_cast<std::int64_t>(problem.kernel_height) * problem.kernel_width;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    const std::byte** out = table + tap * padded_rows;
    for (std::int64_t i = rows; i < padded_rows; ++i) out[i] = out[rows - 1];
  }
}

}  // namespace bookend
