#include "kernels/observe/observe.h"

#include <cmath>
#include <cstring>

namespace bookend {
namespace {

// Rows are cut into chunks by the problem alone; each chunk is counted on its own, and the counts
// are added in order, so that results do not depend on the number of threads.
struct Plan {
  static constexpr std::int64_t kMaxChunks = 16, kMinElements = 1 << 16, kBinsPerTask = 2048;
  std::int64_t channels, rows, rows_per_chunk, chunks;

  explicit Plan(const ObserveProblem& problem) : channels(problem.channels), rows(problem.rows) {
    rows_per_chunk = (rows + kMaxChunks - 1) / kMaxChunks;
    const std::int64_t least = (kMinElements + channels - 1) / channels;
    if (rows_per_chunk < least) rows_per_chunk = least;
    chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
  }
  // A chunk's scratch in doubles: [sums, squares][channels], least and largest, the histogram.
  std::int64_t doubles() const { return 2 * channels + 1 + kObserveBins / 2; }
};

// The partial results of one chunk, in its part of the scratch.
struct Partial {
  double* sums;
  double* squares;
  float* range;
  std::int32_t* histogram;

  Partial(const Plan& plan, std::byte* scratch, std::int64_t chunk) {
    sums = reinterpret_cast<double*>(scratch) + chunk * plan.doubles();
    squares = sums + plan.channels;
    range = reinterpret_cast<float*>(squares + plan.channels);
    histogram = reinterpret_cast<std::int32_t*>(range + 2);
  }
};

float number(float x) { return x; }
float number(Bf16 x) { return to_float(x); }
std::uint16_t bin(float x) { return static_cast<std::uint16_t>(to_bf16(x).bits >> 2); }
std::uint16_t bin(Bf16 x) { return static_cast<std::uint16_t>(x.bits >> 2); }

// Sums of 2^31 squares in double are good to far more than float32 holds.
template <class T>
void add_moments(const T* x, std::int64_t count, double* sums, double* squares) {
  for (std::int64_t c = 0; c < count; ++c) {
    const double value = static_cast<double>(number(x[c]));
    sums[c] += value;
    squares[c] += value * value;
  }
}

template <class T>
void observe_chunk(const T* x, const Plan& plan, std::int64_t chunk, const Partial& out) {
  const std::int64_t begin = chunk * plan.rows_per_chunk;
  std::int64_t end = begin + plan.rows_per_chunk;
  if (end > plan.rows) end = plan.rows;
  std::memset(out.sums, 0, static_cast<std::size_t>(plan.doubles()) * sizeof(double));
  float least = INFINITY, largest = -INFINITY;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* values = x + row * plan.channels;
    add_moments(values, plan.channels, out.sums, out.squares);
    for (std::int64_t c = 0; c < plan.channels; ++c) {
      const float value = number(values[c]);
      least = value < least ? value : least;
      largest = value > largest ? value : largest;
      ++out.histogram[bin(values[c])];
    }
  }
  out.range[0] = least;
  out.range[1] = largest;
}

void combine_moments(const Plan& plan, const ObserveOperands& operands, std::byte* scratch) {
  float least = INFINITY, largest = -INFINITY;
  for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
    const Partial part(plan, scratch, chunk);
    least = part.range[0] < least ? part.range[0] : least;
    largest = part.range[1] > largest ? part.range[1] : largest;
  }
  operands.range[0] = least;
  operands.range[1] = largest;
  for (std::int64_t c = 0; c < plan.channels; ++c) {
    double sum = 0, square = 0;
    for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
      const Partial part(plan, scratch, chunk);
      sum += part.sums[c];
      square += part.squares[c];
    }
    operands.sums[c] = static_cast<float>(sum);
    operands.squares[c] = static_cast<float>(square);
  }
}

const char* refuse(const ObserveProblem& problem) {
  if (problem.input != DType::f32 && problem.input != DType::bf16) return "x is not f32 or bf16";
  if (problem.rows > INT32_MAX / problem.channels) return "counts could overflow 32 bits";
  return nullptr;
}

std::size_t scratch_bytes(const ObserveProblem& problem, int) {
  const Plan plan(problem);
  return static_cast<std::size_t>(plan.chunks * plan.doubles()) * sizeof(double);
}

void run(const ObserveProblem& problem, const ObserveOperands& operands,
         const RunContext& context) {
  const Plan plan(problem);
  context.pool.for_each(plan.chunks, [&](std::int64_t chunk, int) {
    const Partial part(plan, context.scratch, chunk);
    if (problem.input == DType::bf16) {
      observe_chunk(static_cast<const Bf16*>(operands.x), plan, chunk, part);
    } else {
      observe_chunk(static_cast<const float*>(operands.x), plan, chunk, part);
    }
  });
  combine_moments(plan, operands, context.scratch);
  context.pool.for_each(kObserveBins / Plan::kBinsPerTask, [&](std::int64_t task, int) {
    for (std::int64_t i = task * Plan::kBinsPerTask; i < (task + 1) * Plan::kBinsPerTask; ++i) {
      std::int32_t count = 0;
      for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
        count += Partial(plan, context.scratch, chunk).histogram[i];
      }
      operands.histogram[i] = count;
    }
  });
}

// One row serves every machine: nothing waits for a calibration run.
constexpr ObserveKernel kObserveScalar{"observe.scalar", Isa::scalar, refuse, scratch_bytes, run};
constexpr const ObserveKernel* kObserveKernels[] = {&kObserveScalar};

}  // namespace

Selection<ObserveKernel> select_observe(const ObserveProblem& problem, Isa limit) {
  return select(kObserveKernels, 1, problem, limit);
}

}  // namespace bookend
