// GroupNorm's gradient over float verbs F in three parallel phases, like the norm itself: sums per
// channel of each chunk of rows, their combination per group, and dx. Chunks depend on the shape
// alone, so results do not depend on the number of threads.
#pragma once

#include "kernels/norm_gradient/norm_gradient.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

template <class F>
class GroupNormGradient {
 public:
  static const char* refuse(const GroupNormGradientProblem& problem) {
    if (!is_f32_or_bf16(problem.type)) return "x is not f32 or bf16";
    return problem.channels % problem.groups == 0 ? nullptr : "groups do not divide the channels";
  }

  static std::size_t scratch_bytes(const GroupNormGradientProblem& problem, int) {
    return static_cast<std::size_t>(problem.batch * Plan(problem).floats_per_image()) *
           sizeof(float);
  }

  static void run(const GroupNormGradientProblem& problem, const NormGradientOperands& operands,
                  const RunContext& context) {
    const Plan plan(problem);
    float* scratch = reinterpret_cast<float*>(context.scratch);
    context.pool.for_each(problem.batch * plan.chunks, [&](std::int64_t task, int) {
      with_type(problem.type, [&](auto* type) {
        measure(type, problem, operands, plan, task, scratch);
      });
    });
    context.pool.for_each(problem.batch * problem.groups, [&](std::int64_t task, int) {
      combine(problem, operands, plan, task % problem.groups,
              plan.image(scratch, task / problem.groups));
    });
    context.pool.for_each(problem.batch * plan.chunks, [&](std::int64_t task, int) {
      with_type(problem.type, [&](auto* type) {
        apply(type, problem, operands, plan, task, scratch);
      });
    });
    for (std::int64_t c = 0; c < problem.channels; ++c) {
      double gamma = 0, beta = 0;
      for (std::int64_t image = 0; image < problem.batch; ++image) {
        float* own = plan.image(scratch, image);
        gamma += static_cast<double>(plan.result(own, kGammaGradient)[c]);
        beta += static_cast<double>(plan.result(own, kBetaGradient)[c]);
      }
      operands.gamma_gradient[c] = static_cast<float>(gamma);
      operands.beta_gradient[c] = static_cast<float>(beta);
    }
  }

 private:
  using Vector = typename F::Vector;
  // Of a chunk and channel, with d = x - shift: sums of d, d^2, dy and dy * d.
  enum { kShift, kRest, kSquare, kGradient, kProduct, kSums };
  // dx = dy * scale + (x - mean) * slope + offset.
  enum { kMean, kScale, kSlope, kOffset, kGammaGradient, kBetaGradient, kResults };

  // How an image is cut and where its scratch lies: [chunks][kSums][channels], then
  // [kResults][channels].
  struct Plan {
    static constexpr std::int64_t kMaxChunks = 16, kMinRows = 8;
    std::int64_t channels, rows, rows_per_chunk, chunks;

    explicit Plan(const GroupNormGradientProblem& problem)
        : channels(problem.channels), rows(problem.rows) {
      rows_per_chunk = (rows + kMaxChunks - 1) / kMaxChunks;
      rows_per_chunk = (rows_per_chunk + kMinRows - 1) / kMinRows * kMinRows;
      chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
    }
    std::int64_t size(std::int64_t chunk) const {
      const std::int64_t left = rows - chunk * rows_per_chunk;
      return left < rows_per_chunk ? left : rows_per_chunk;
    }
    std::int64_t floats_per_image() const { return (kSums * chunks + kResults) * channels; }
    float* image(float* scratch, std::int64_t index) const {
      return scratch + index * floats_per_image();
    }
    float* sum(float* image, std::int64_t chunk, int which) const {
      return image + (kSums * chunk + which) * channels;
    }
    float* result(float* image, int which) const { return sum(image, chunks, 0) + which * channels; }
  };

  // Sums run over differences from the chunk's first row, which keeps them exact where a channel's
  // mean is large beside its spread, and in tiles of 8 rows, which keeps them short.
  template <class T>
  static void measure(T*, const GroupNormGradientProblem& problem,
                      const NormGradientOperands& operands, const Plan& plan, std::int64_t task,
                      float* scratch) {
    const std::int64_t image = task / plan.chunks, chunk = task % plan.chunks;
    const std::int64_t n = plan.channels, rows = plan.size(chunk);
    const std::int64_t first = (image * problem.rows + chunk * plan.rows_per_chunk) * n;
    const T* x = static_cast<const T*>(operands.x) + first;
    const T* dy = static_cast<const T*>(operands.gradient) + first;
    float* sums = plan.sum(plan.image(scratch, image), chunk, 0);
    for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
      const Vector shift = lanes.load(x + c);
      lanes.store(sums + kShift * n + c, shift);
      for (int which = kRest; which < kSums; ++which) lanes.store(sums + which * n + c, F::zero());
    });
    for (std::int64_t row = 0; row < rows; row += 8) {
      const std::int64_t end = row + 8 < rows ? row + 8 : rows;
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        const Vector shift = lanes.load(sums + kShift * n + c);
        Vector rest = F::zero(), square = F::zero(), gradient = F::zero(), product = F::zero();
        for (std::int64_t r = row; r < end; ++r) {
          const Vector d = F::sub(lanes.load(x + r * n + c), shift);
          const Vector y = lanes.load(dy + r * n + c);
          rest = F::add(rest, d);
          square = F::fma(d, d, square);
          gradient = F::add(gradient, y);
          product = F::fma(y, d, product);
        }
        const auto add = [&](int which, Vector sum) {
          float* total = sums + which * n + c;
          lanes.store(total, F::add(lanes.load(total), sum));
        };
        add(kRest, rest);
        add(kSquare, square);
        add(kGradient, gradient);
        add(kProduct, product);
      });
    }
  }

  struct Group {
    std::int64_t first, size;
    double mean, inverse;
  };

  static double at(const Plan& plan, float* image, std::int64_t chunk, int which, std::int64_t c) {
    return static_cast<double>(plan.sum(image, chunk, which)[c]);
  }

  // Moments of a group, in double: there are few sums.
  static Group moments(const GroupNormGradientProblem& problem, const Plan& plan,
                       std::int64_t group, float* image) {
    Group result;
    result.size = plan.channels / problem.groups;
    result.first = group * result.size;
    const double count = static_cast<double>(result.size) * static_cast<double>(plan.rows);
    double total = 0, variance = 0;
    for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
      const double rows = static_cast<double>(plan.size(chunk));
      for (std::int64_t c = result.first; c < result.first + result.size; ++c) {
        total += rows * at(plan, image, chunk, kShift, c) + at(plan, image, chunk, kRest, c);
      }
    }
    result.mean = total / count;
    for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
      const double rows = static_cast<double>(plan.size(chunk));
      for (std::int64_t c = result.first; c < result.first + result.size; ++c) {
        const double from_mean = at(plan, image, chunk, kShift, c) - result.mean;
        variance += at(plan, image, chunk, kSquare, c) +
                    from_mean * (2 * at(plan, image, chunk, kRest, c) + rows * from_mean);
      }
    }
    result.inverse =
        1.0 / __builtin_sqrt(variance / count + static_cast<double>(problem.epsilon));
    return result;
  }

  static void combine(const GroupNormGradientProblem& problem,
                      const NormGradientOperands& operands, const Plan& plan, std::int64_t group,
                      float* image) {
    const Group of = moments(problem, plan, group, image);
    double sum = 0, product = 0;  // of g, and of g * x^
    for (std::int64_t c = of.first; c < of.first + of.size; ++c) {
      double beta = 0, gamma = 0;
      for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
        const double gradient = at(plan, image, chunk, kGradient, c);
        const double from_mean = at(plan, image, chunk, kShift, c) - of.mean;
        beta += gradient;
        gamma += at(plan, image, chunk, kProduct, c) + from_mean * gradient;
      }
      gamma *= of.inverse;
      plan.result(image, kGammaGradient)[c] = static_cast<float>(gamma);
      plan.result(image, kBetaGradient)[c] = static_cast<float>(beta);
      sum += beta * static_cast<double>(operands.gamma[c]);
      product += gamma * static_cast<double>(operands.gamma[c]);
    }
    const double count = static_cast<double>(of.size) * static_cast<double>(plan.rows);
    const float mean = static_cast<float>(of.mean);
    const double slope = -of.inverse * of.inverse * product / count;
    const double lost = of.mean - static_cast<double>(mean);
    for (std::int64_t c = of.first; c < of.first + of.size; ++c) {
      plan.result(image, kMean)[c] = mean;
      plan.result(image, kScale)[c] =
          static_cast<float>(of.inverse * static_cast<double>(operands.gamma[c]));
      plan.result(image, kSlope)[c] = static_cast<float>(slope);
      plan.result(image, kOffset)[c] =
          static_cast<float>(-of.inverse * sum / count - lost * slope);
    }
  }

  template <class T>
  static void apply(T*, const GroupNormGradientProblem& problem,
                    const NormGradientOperands& operands, const Plan& plan, std::int64_t task,
                    float* scratch) {
    const std::int64_t n = plan.channels, chunk = task % plan.chunks;
    float* image = plan.image(scratch, task / plan.chunks);
    const float* mean = plan.result(image, kMean);
    const float* scale = plan.result(image, kScale);
    const float* slope = plan.result(image, kSlope);
    const float* offset = plan.result(image, kOffset);
    const std::int64_t begin =
        task / plan.chunks * problem.rows + chunk * plan.rows_per_chunk;
    for (std::int64_t row = begin; row < begin + plan.size(chunk); ++row) {
      const T* x = static_cast<const T*>(operands.x) + row * n;
      const T* dy = static_cast<const T*>(operands.gradient) + row * n;
      T* dx = static_cast<T*>(operands.out) + row * n;
      for_lanes<F>(n, [&](std::int64_t c, const auto& lanes) {
        const Vector d = F::sub(lanes.load(x + c), lanes.load(mean + c));
        const Vector of_x = F::fma(d, lanes.load(slope + c), lanes.load(offset + c));
        lanes.store(dx + c, F::fma(lanes.load(dy + c), lanes.load(scale + c), of_x));
      });
    }
  }
};

}  // namespace
}  // namespace bookend
