// What an optimizer does to whole arrays, in place: gradients' norm and mean, AdamW, moving averages.
// Every operation is rounded to f32 in the order of the TypeScript beside the tests of src/training,
// which gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dispatch/kernel.h"

namespace bookend {

struct SquareSumOperands {
  const float* x;
  double* out;  // one number
};

// Within blocks of 2^16 elements, element i goes to sum i % 8, in double; these, and then the blocks,
// are added in order.
struct SquareSumProblem {
  using Operands = SquareSumOperands;
  std::int64_t count;
};

struct AccumulateOperands {
  const float* x;
  float* sum;
};

// sum = x * scale, or sum + x * scale where it `adds`.
struct AccumulateProblem {
  using Operands = AccumulateOperands;
  std::int64_t count;
  float scale;
  bool adds;
};

// What changes from step to step, in this order.
struct AdamWFactors {
  float gradient;                // on gradients, for clipping
  float keep;                    // 1 - learning rate * weight decay
  float new_first;               // 1 - beta1
  float keep_second, new_second;  // beta2, 1 - beta2
  float correction;              // square root of 1 - beta2^step
  float epsilon;
  float step_size;  // learning rate / (1 - beta1^step)
  float average;    // 1 - decay of the moving average
};
constexpr std::size_t kAdamWFactors = sizeof(AdamWFactors) / sizeof(float);

struct AdamWOperands {
  const AdamWFactors* factors;
  const float* gradient;
  float* parameter;
  float* first;    // moments
  float* second;
  float* average;  // of the parameter: average -= (average - parameter) * rate; null: none is kept
};

struct AdamWProblem {
  using Operands = AdamWOperands;
  std::int64_t count;
  bool has_average;
};

Selection<Kernel<SquareSumProblem>> select_square_sum(const SquareSumProblem& problem, Isa limit);
Selection<Kernel<AccumulateProblem>> select_accumulate(const AccumulateProblem& problem, Isa limit);
Selection<Kernel<AdamWProblem>> select_adamw(const AdamWProblem& problem, Isa limit);

}  // namespace bookend
