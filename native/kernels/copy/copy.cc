#include "kernels/copy/copy.h"

#include <cstring>

#include "base/axes.h"

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
  for (std::int64_t i = 0; i < inner.extent; ++i) {
    out[i * inner.second_stride] = x[i * inner.first_stride];
  }
}

template <class T>
void copy(const Axes& axes, const void* x, void* out, ThreadPool& pool) {
  const std::int64_t turns = axes.outer_turns(), inner = axes.inner().extent;
  const std::int64_t per_task = 1 + 16384 / (inner + 1);
  pool.for_each((turns + per_task - 1) / per_task, [&](std::int64_t task, int) {
    std::int64_t turn = task * per_task;
    for (std::int64_t i = 0; i < per_task && turn < turns; ++i, ++turn) {
      std::int64_t from, to;
      axes.offsets(turn, &from, &to);
      copy_inner(axes.inner(), static_cast<const T*>(x) + from, static_cast<T*>(out) + to);
    }
  });
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
  if (size == 4) return copy<std::uint32_t>(axes, x, out, context.pool);
  if (size == 2) return copy<std::uint16_t>(axes, x, out, context.pool);
  copy<std::uint8_t>(axes, x, out, context.pool);
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
