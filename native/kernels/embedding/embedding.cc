#include "kernels/embedding/embedding.h"

#include <cmath>
#include <cstring>

#include "simd/lanes.h"

namespace bookend {
namespace {

template <class Problem>
std::size_t no_scratch(const Problem&, int) {
  return 0;
}

const char* refuse_embedding(const EmbeddingProblem& problem) {
  if (!is_float(problem.table_type) || !is_float(problem.output)) {
    return "table or output is not f32, bf16 or f16";
  }
  return nullptr;
}

void run_embedding(const EmbeddingProblem& problem, const EmbeddingOperands& operands,
                   const RunContext& context) {
  const std::int64_t width = problem.width;
  context.pool.for_each(problem.count, [&](std::int64_t i, int) {
    const std::int64_t id = operands.ids[i];
    const std::int64_t row = id >= 0 && id < problem.rows ? id : 0;
    if (problem.table_type == problem.output) {
      const std::size_t bytes = static_cast<std::size_t>(width) * byte_size(problem.output);
      std::memcpy(static_cast<std::byte*>(operands.out) + static_cast<std::size_t>(i) * bytes,
                  static_cast<const std::byte*>(operands.table) +
                      static_cast<std::size_t>(row) * bytes,
                  bytes);
      return;
    }
    for_lanes<ScalarFloat>(width, [&](std::int64_t c, const auto& lanes) {
      const float x =
          load_as<ScalarFloat>(problem.table_type, operands.table, row * width + c, lanes);
      store_as<ScalarFloat>(problem.output, operands.out, i * width + c, x, lanes);
    });
  });
}

const char* refuse_timestep_embedding(const TimestepEmbeddingProblem& problem) {
  return problem.dim % 2 == 0 ? nullptr : "dim is odd";
}

// Every intermediate is rounded to float, as the models were trained with: at timestep 999 the
// rounding of the angle alone moves a sine by 3e-5.
void run_timestep_embedding(const TimestepEmbeddingProblem& problem,
                            const TimestepEmbeddingOperands& operands, const RunContext& context) {
  const std::int64_t half = problem.dim / 2;
  const float log_period = static_cast<float>(-std::log(static_cast<double>(problem.max_period)));
  const float denominator = static_cast<float>(half) - problem.frequency_shift;
  context.pool.for_each(problem.count, [&](std::int64_t row, int) {
    float* out = operands.out + row * problem.dim;
    float* sine = problem.cosine_first ? out + half : out;
    float* cosine = problem.cosine_first ? out : out + half;
    for (std::int64_t i = 0; i < half; ++i) {
      const float exponent = log_period * static_cast<float>(i) / denominator;
      const float frequency = static_cast<float>(std::exp(static_cast<double>(exponent)));
      const double angle = static_cast<double>(operands.timesteps[row] * frequency);
      sine[i] = static_cast<float>(std::sin(angle));
      cosine[i] = static_cast<float>(std::cos(angle));
    }
  });
}

// Neither is worth a vector: a prompt has 77 tokens, a step one time.
constexpr EmbeddingKernel kEmbeddingScalar{"embedding.scalar", Isa::scalar, refuse_embedding,
                                           no_scratch<EmbeddingProblem>, run_embedding};
constexpr const EmbeddingKernel* kEmbeddingKernels[] = {&kEmbeddingScalar};

constexpr TimestepEmbeddingKernel kTimestepEmbeddingScalar{
    "timestep_embedding.scalar", Isa::scalar, refuse_timestep_embedding,
    no_scratch<TimestepEmbeddingProblem>, run_timestep_embedding};
constexpr const TimestepEmbeddingKernel* kTimestepEmbeddingKernels[] = {&kTimestepEmbeddingScalar};

}  // namespace

Selection<EmbeddingKernel> select_embedding(const EmbeddingProblem& problem, Isa limit) {
  return select(kEmbeddingKernels, 1, problem, limit);
}

Selection<TimestepEmbeddingKernel> select_timestep_embedding(
    const TimestepEmbeddingProblem& problem, Isa limit) {
  return select(kTimestepEmbeddingKernels, 1, problem, limit);
}

}  // namespace bookend
