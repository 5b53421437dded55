#include "kernels/conv2d/row_pointers.h"

namespace bookend {
namespace {

// One run of output pixels in one image row, for one tap: `source_row` is the input row it reads.
struct Run {
  const std::byte* source_row;
  std::int64_t first_x;  // input column, before un-upsampling, of the run's first pixel
  std::int64_t width;    // of the (upsampled) input
  std::int64_t length;
};

void fill_run(const Conv2dProblem& problem, const Run& run, std::size_t pixel_bytes,
              const std::byte* zeros, const std::byte** out) {
  std::int64_t x = run.first_x;
  for (std::int64_t i = 0; i < run.length; ++i, x += problem.stride) {
    const std::int64_t pixel = problem.upsample == 2 ? x >> 1 : x;
    const std::byte* inside = run.source_row + pixel * static_cast<std::int64_t>(pixel_bytes);
    out[i] = x >= 0 && x < run.width ? inside : zeros;
  }
}

}  // namespace

void fill_row_pointers(const Conv2dProblem& problem, const std::byte* source,
                       std::size_t pixel_bytes, const std::byte* zeros, std::int64_t first_row,
                       std::int64_t rows, std::int64_t padded_rows, const std::byte** table) {
  const std::int64_t height = problem.height * problem.upsample;
  const std::int64_t width = problem.width * problem.upsample;
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
      const std::int64_t source_y = image * problem.height + y / problem.upsample;
      const std::byte* source_row =
          source + source_y * problem.width * static_cast<std::int64_t>(pixel_bytes);
      for (int kx = 0; kx < problem.kernel_width; ++kx, out += padded_rows) {
        const std::int64_t x = out_x * problem.stride + kx - problem.pad_left;
        const bool inside = y >= 0 && y < height;
        fill_run(problem, {source_row, x, inside ? width : 0, length}, pixel_bytes, zeros, out);
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
