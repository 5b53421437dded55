#include "kernels/optimizer/optimizer.h"

// Compiled without contraction of a * b + c, which would round once instead of twice, and without
// errno, so that roots are vectors as well (CMakeLists.txt).
namespace bookend {
namespace {

constexpr std::int64_t kBlock = 1 << 16;

std::int64_t blocks_of(std::int64_t count) { return (count + kBlock - 1) / kBlock; }

// Calls body(begin, end) for blocks of elements.
template <class Body>
void for_blocks(std::int64_t count, ThreadPool& pool, const Body& body) {
  pool.for_each(blocks_of(count), [&](std::int64_t block, int) {
    const std::int64_t begin = block * kBlock;
    body(begin, count - begin < kBlock ? count : begin + kBlock);
  });
}

template <class Problem>
const char* refuse_none(const Problem&) {
  return nullptr;
}

template <class Problem>
std::size_t no_scratch(const Problem&, int) {
  return 0;
}

double sum_of_squares(const float* __restrict x, std::int64_t count) {
  constexpr std::int64_t kSums = 8;
  double sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::int64_t s = 0; s < kSums; ++s) {
      const auto value = static_cast<double>(x[i + s]);
      sums[s] += value * value;
    }
  }
  for (std::int64_t s = 0; i < count; ++i, ++s) {
    const auto value = static_cast<double>(x[i]);
    sums[s] += value * value;
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

std::size_t square_sum_scratch(const SquareSumProblem& problem, int) {
  return static_cast<std::size_t>(blocks_of(problem.count)) * sizeof(double);
}

void run_square_sum(const SquareSumProblem& problem, const SquareSumOperands& operands,
                    const RunContext& context) {
  auto* sums = reinterpret_cast<double*>(context.scratch);
  for_blocks(problem.count, context.pool, [&](std::int64_t begin, std::int64_t end) {
    sums[begin / kBlock] = sum_of_squares(operands.x + begin, end - begin);
  });
  double total = 0;
  for (std::int64_t block = 0; block < blocks_of(problem.count); ++block) total += sums[block];
  *operands.out = total;
}

void run_accumulate(const AccumulateProblem& problem, const AccumulateOperands& operands,
                    const RunContext& context) {
  const float scale = problem.scale;
  for_blocks(problem.count, context.pool, [&](std::int64_t begin, std::int64_t end) {
    const float* __restrict x = operands.x;
    float* __restrict sum = operands.sum;
    if (problem.adds) {
      for (std::int64_t i = begin; i < end; ++i) sum[i] += x[i] * scale;
    } else {
      for (std::int64_t i = begin; i < end; ++i) sum[i] = x[i] * scale;
    }
  });
}

float moved(float average, float parameter, float rate) {
  return average - rate * (average - parameter);
}

template <bool has_average>
void step(const AdamWOperands& operands, std::int64_t begin, std::int64_t end) {
  const AdamWFactors f = *operands.factors;
  const float* __restrict gradients = operands.gradient;
  float* __restrict parameters = operands.parameter;
  float* __restrict firsts = operands.first;
  float* __restrict seconds = operands.second;
  float* __restrict averages = operands.average;
  for (std::int64_t i = begin; i < end; ++i) {
    const float g = gradients[i] * f.gradient;
    const float decayed = parameters[i] * f.keep;
    // The product is exact in double.
    const auto first = static_cast<float>(static_cast<double>(firsts[i]) +
                                          static_cast<double>(f.new_first) *
                                              static_cast<double>(g - firsts[i]));
    const float second = seconds[i] * f.keep_second + f.new_second * g * g;
    const float root = __builtin_sqrtf(second) / f.correction + f.epsilon;
    const float parameter = decayed - f.step_size * first / root;
    firsts[i] = first;
    seconds[i] = second;
    parameters[i] = parameter;
    if constexpr (has_average) averages[i] = moved(averages[i], parameter, f.average);
  }
}

void run_adamw(const AdamWProblem& problem, const AdamWOperands& operands,
               const RunContext& context) {
  for_blocks(problem.count, context.pool, [&](std::int64_t begin, std::int64_t end) {
    if (problem.has_average) {
      step<true>(operands, begin, end);
    } else {
      step<false>(operands, begin, end);
    }
  });
}

// One row of each serves every machine: they wait for memory.
constexpr Kernel<SquareSumProblem> kSquareSum{"square_sum.scalar", Isa::scalar,
                                              refuse_none<SquareSumProblem>, square_sum_scratch,
                                              run_square_sum};
constexpr Kernel<AccumulateProblem> kAccumulate{"accumulate.scalar", Isa::scalar,
                                                refuse_none<AccumulateProblem>,
                                                no_scratch<AccumulateProblem>, run_accumulate};
constexpr Kernel<AdamWProblem> kAdamW{"adamw.scalar", Isa::scalar, refuse_none<AdamWProblem>,
                                      no_scratch<AdamWProblem>, run_adamw};
template <class Problem>
Selection<Kernel<Problem>> only(const Kernel<Problem>& row, const Problem& problem, Isa limit) {
  const Kernel<Problem>* table[] = {&row};
  return select(table, 1, problem, limit);
}

}  // namespace

Selection<Kernel<SquareSumProblem>> select_square_sum(const SquareSumProblem& problem, Isa limit) {
  return only(kSquareSum, problem, limit);
}
Selection<Kernel<AccumulateProblem>> select_accumulate(const AccumulateProblem& problem,
                                                       Isa limit) {
  return only(kAccumulate, problem, limit);
}
Selection<Kernel<AdamWProblem>> select_adamw(const AdamWProblem& problem, Isa limit) {
  return only(kAdamW, problem, limit);
}

}  // namespace bookend
