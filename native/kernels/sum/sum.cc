#include "kernels/sum/sum.h"

namespace bookend {
namespace {

// The axis is cut into chunks by the problem alone; their sums, in double, are added in order. So
// results depend neither on the number of threads nor, in f32, on the order of summation.
struct Plan {
  static constexpr std::int64_t kMaxChunks = 64, kMinElements = 1 << 14;
  std::int64_t per_chunk, chunks;

  explicit Plan(const SumProblem& problem) {
    per_chunk = (problem.count + kMaxChunks - 1) / kMaxChunks;
    const std::int64_t least = (kMinElements + problem.inner - 1) / problem.inner;
    if (per_chunk < least) per_chunk = least;
    chunks = (problem.count + per_chunk - 1) / per_chunk;
  }
};

float number(float x) { return x; }
float number(Bf16 x) { return to_float(x); }
void store(double sum, float* out) { *out = static_cast<float>(sum); }
void store(double sum, Bf16* out) { *out = to_bf16(static_cast<float>(sum)); }

template <class T>
void add_rows(const T* x, std::int64_t rows, std::int64_t inner, double* sums) {
  for (std::int64_t i = 0; i < inner; ++i) sums[i] = 0;
  for (std::int64_t row = 0; row < rows; ++row, x += inner) {
    for (std::int64_t i = 0; i < inner; ++i) sums[i] += static_cast<double>(number(x[i]));
  }
}

// Neighbours go to several sums, or each addition would wait for the one before.
template <class T>
double add_neighbours(const T* x, std::int64_t count) {
  constexpr std::int64_t kSums = 8;
  double sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::int64_t s = 0; s < kSums; ++s) sums[s] += static_cast<double>(number(x[i + s]));
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(number(x[i]));
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <class T>
void sum_chunks(const SumProblem& problem, const T* x, double* partial, ThreadPool& pool) {
  const Plan plan(problem);
  const std::int64_t all = problem.outer * plan.chunks;
  const std::int64_t elements = problem.count * problem.inner / plan.chunks;
  const std::int64_t per_task = 1 + Plan::kMinElements / (elements + 1);
  pool.for_each((all + per_task - 1) / per_task, [&](std::int64_t task, int) {
    const std::int64_t end = (task + 1) * per_task < all ? (task + 1) * per_task : all;
    for (std::int64_t index = task * per_task; index < end; ++index) {
      const std::int64_t begin = index % plan.chunks * plan.per_chunk;
      const std::int64_t left = problem.count - begin;
      const std::int64_t rows = left < plan.per_chunk ? left : plan.per_chunk;
      const T* first =
          x + (index / plan.chunks * problem.count + begin) * problem.inner;
      if (problem.inner == 1) {
        partial[index] = add_neighbours(first, rows);
      } else {
        add_rows(first, rows, problem.inner, partial + index * problem.inner);
      }
    }
  });
}

template <class T>
void combine(const SumProblem& problem, const double* partial, T* out, ThreadPool& pool) {
  constexpr std::int64_t kPerTask = 4096;
  const Plan plan(problem);
  const std::int64_t all = problem.outer * problem.inner;
  pool.for_each((all + kPerTask - 1) / kPerTask, [&](std::int64_t task, int) {
    const std::int64_t end = (task + 1) * kPerTask < all ? (task + 1) * kPerTask : all;
    for (std::int64_t at = task * kPerTask; at < end; ++at) {
      const double* first =
          partial + at / problem.inner * plan.chunks * problem.inner + at % problem.inner;
      double total = 0;
      for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
        total += first[chunk * problem.inner];
      }
      store(total, out + at);
    }
  });
}

const char* refuse(const SumProblem& problem) {
  const auto known = [](DType type) { return type == DType::f32 || type == DType::bf16; };
  if (!known(problem.input)) return "x is not f32 or bf16";
  return known(problem.output) ? nullptr : "the sum is not f32 or bf16";
}

std::size_t scratch_bytes(const SumProblem& problem, int) {
  return static_cast<std::size_t>(problem.outer * Plan(problem).chunks * problem.inner) *
         sizeof(double);
}

void run(const SumProblem& problem, const SumOperands& operands, const RunContext& context) {
  auto* partial = reinterpret_cast<double*>(context.scratch);
  if (problem.input == DType::bf16) {
    sum_chunks(problem, static_cast<const Bf16*>(operands.x), partial, context.pool);
  } else {
    sum_chunks(problem, static_cast<const float*>(operands.x), partial, context.pool);
  }
  if (problem.output == DType::bf16) {
    combine(problem, partial, static_cast<Bf16*>(operands.out), context.pool);
  } else {
    combine(problem, partial, static_cast<float*>(operands.out), context.pool);
  }
}

// One row serves every machine: sums wait for memory.
constexpr SumKernel kSumScalar{"sum.scalar", Isa::scalar, refuse, scratch_bytes, run};
constexpr const SumKernel* kSumKernels[] = {&kSumScalar};

}  // namespace

Selection<SumKernel> select_sum(const SumProblem& problem, Isa limit) {
  return select(kSumKernels, 1, problem, limit);
}

}  // namespace bookend
