#include "kernels/copy/copy.h"

#include <cstring>

#include "base/axes.h"
#include "base/transpose.h"

namespace bookend {
namespace {

static_assert(CopyProblem::kAxes <= kMaxAxes);

const char* refuse(const CopyProblem&) { return nullptr; }
std::size_t scratch_bytes(const CopyProblem&, int) { return 0; }

// One turn of the inner axis for elements of type T.
template <class T>
void copy_inner(const Axis& inner, const T* x, T* out) {
  if (inner.first_stride == 1 && inner.second_stride == 1) {
    std::memcpy(out, x, static_cast<std::size_t>(inner.extent) * sizeof(T));
    return;
  }
  if (inner.first_stride == 0 && inner.second_stride == 1) {
    for (std::int64_t i = 0; i < inner.extent; ++i) out[i] = *x;
    return;
  }
  for (std::int64_t i = 0; i < inner.extent; ++i) {
    out[i * inner.second_stride] = x[i * inner.first_stride];
  }
}

// Long inner axes are cut, short ones taken several at a time.
template <class T>
void copy(const Axes& axes, const void* x, void* out, ThreadPool& pool) {
  constexpr std::int64_t kPerTask = 16384;
  const Axis& inner = axes.inner();
  const std::int64_t pieces = (inner.extent + kPerTask - 1) / kPerTask;
  const std::int64_t turns = axes.outer_turns() * pieces;
  const std::int64_t per_task = 1 + kPerTask / (inner.extent + 1);
  pool.for_each((turns + per_task - 1) / per_task, [&](std::int64_t task, int) {
    std::int64_t turn = task * per_task;
    for (std::int64_t i = 0; i < per_task && turn < turns; ++i, ++turn) {
      std::int64_t from, to;
      axes.offsets(turn / pieces, &from, &to);
      const std::int64_t begin = turn % pieces * kPerTask, left = inner.extent - begin;
      copy_inner(Axis{left < kPerTask ? left : kPerTask, inner.first_stride, inner.second_stride},
                 static_cast<const T*>(x) + from + begin * inner.first_stride,
                 static_cast<T*>(out) + to + begin * inner.second_stride);
    }
  });
}

// The axes, with one over neighbours of the source and one over neighbours of the result split off.
struct Transposition {
  Axis from, to;  // first_stride of `from` and second_stride of `to` are 1
  Axes rest;      // its inner axis is a loop of one turn
};

bool find_transposition(const Axes& axes, Transposition* found) {
  int from = -1, to = -1;
  for (int i = 0; i < axes.count; ++i) {
    if (axes.axis[i].first_stride == 1) from = i;
    if (axes.axis[i].second_stride == 1) to = i;
  }
  if (from < 0 || to < 0 || from == to) return false;
  found->from = axes.axis[from];
  found->to = axes.axis[to];
  found->rest.count = 0;
  for (int i = 0; i < axes.count; ++i) {
    if (i != from && i != to) found->rest.axis[found->rest.count++] = axes.axis[i];
  }
  found->rest.axis[found->rest.count++] = {1, 1, 1};
  return true;
}

// Neighbours of the source by neighbours of the result that are transposed in one piece: a cache line
// by what makes the rows of the result long.
template <class T>
constexpr std::int64_t kBlock = 64 / sizeof(T);
constexpr std::int64_t kRun = 256;

// By way of a buffer: rows of the result often lie a power of two apart, where lines that are
// written an element at a time would throw each other out of the cache.
template <class T>
void transpose_block(const T* x, std::int64_t x_stride, T* out, std::int64_t out_stride,
                     std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kPitch = kRun + 64 / sizeof(T);
  T buffer[kBlock<T> * kPitch];
  transpose(x, x_stride, columns, rows, buffer, kPitch);
  for (std::int64_t j = 0; j < rows; ++j) {
    std::memcpy(out + j * out_stride, buffer + j * kPitch,
                static_cast<std::size_t>(columns) * sizeof(T));
  }
}

template <class T>
void run_transposition(const Transposition& axes, const void* x, void* out, ThreadPool& pool) {
  const std::int64_t blocks = (axes.from.extent + kBlock<T> - 1) / kBlock<T>;
  const std::int64_t runs = (axes.to.extent + kRun - 1) / kRun;
  pool.for_each(axes.rest.outer_turns() * blocks * runs, [&](std::int64_t task, int) {
    std::int64_t from, to;
    axes.rest.offsets(task / blocks / runs, &from, &to);
    const std::int64_t begin = task % blocks * kBlock<T>, run = task / blocks % runs * kRun;
    const std::int64_t rows = axes.from.extent - begin, columns = axes.to.extent - run;
    transpose_block(static_cast<const T*>(x) + from + begin + run * axes.to.first_stride,
                    axes.to.first_stride,
                    static_cast<T*>(out) + to + begin * axes.from.second_stride + run,
                    axes.from.second_stride, rows < kBlock<T> ? rows : kBlock<T>,
                    columns < kRun ? columns : kRun);
  });
}

template <class T>
void copy_or_transpose(const Axes& axes, const void* x, void* out, ThreadPool& pool) {
  Transposition transposition;
  if (find_transposition(axes, &transposition)) return run_transposition<T>(transposition, x, out, pool);
  copy<T>(axes, x, out, pool);
}

void run(const CopyProblem& problem, const CopyOperands& operands, const RunContext& context) {
  Axes axes;
  axes.count = CopyProblem::kAxes;
  for (int i = 0; i < CopyProblem::kAxes; ++i) {
    if (problem.extent[i] == 0) return;
    axes.axis[i] = {problem.extent[i], problem.x_stride[i], problem.out_stride[i]};
  }
  axes = merged(axes);
  const std::int64_t size = static_cast<std::int64_t>(byte_size(problem.type));
  const std::byte* x = static_cast<const std::byte*>(operands.x) + problem.x_offset * size;
  std::byte* out = static_cast<std::byte*>(operands.out) + problem.out_offset * size;
  if (size == 4) return copy_or_transpose<std::uint32_t>(axes, x, out, context.pool);
  if (size == 2) return copy_or_transpose<std::uint16_t>(axes, x, out, context.pool);
  copy_or_transpose<std::uint8_t>(axes, x, out, context.pool);
}

// One row serves every machine: memcpy picks its own instructions, and whole rows are what graphs
// copy. It moves bytes, so types are only sizes to it.
constexpr CopyKernel kCopyScalar{"copy.scalar", Isa::scalar, refuse, scratch_bytes, run};
constexpr const CopyKernel* kCopyKernels[] = {&kCopyScalar};

}  // namespace

Selection<CopyKernel> select_copy(const CopyProblem& problem, Isa limit) {
  return select(kCopyKernels, 1, problem, limit);
}

}  // namespace bookend
