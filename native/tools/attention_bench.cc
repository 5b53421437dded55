// Times attention and its gradient on the shapes of Stable Diffusion U-Nets:
//   attention_bench [threads] [rounds] [isa] [part of a shape's name]
// Prints GFLOP/s counted as 4, or 10 for the gradient, times batch * heads * queries * keys *
// head_dim, and what they are of the ceiling probed before and after: the medians of the rounds in
// which the probes stayed within 10% of the best seen, for other programs move both.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "executor/buffer.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_gradient/attention_gradient.h"
#include "kernels/probe/probe.h"

namespace {

using namespace bookend;

struct Shape {
  const char* name;
  std::int64_t batch, heads, queries, keys, head_dim;
};

constexpr Shape kShapes[] = {
    {"sd15 64x64 self", 2, 8, 4096, 4096, 40},   {"sd15 32x32 self", 2, 8, 1024, 1024, 80},
    {"sd15 16x16 self", 2, 8, 256, 256, 160},    {"sd15 8x8 self", 2, 8, 64, 64, 160},
    {"sd15 64x64 cross", 2, 8, 4096, 77, 40},    {"sd15 32x32 cross", 2, 8, 1024, 77, 80},
    {"sd15 16x16 cross", 2, 8, 256, 77, 160},    {"sd21 64x64 self", 1, 5, 4096, 4096, 64},
    {"vae 32x32 self", 1, 1, 1024, 1024, 512},    {"one head", 1, 1, 4096, 4096, 40},
};

double seconds_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// Elements of either type that decode to small numbers, on huge pages as a Program has them.
class Tokens {
 public:
  Tokens(std::int64_t elements, DType type)
      : buffer_(Buffer::allocate(static_cast<std::size_t>(elements) * byte_size(type))) {
    std::uint32_t state = 1;
    for (std::int64_t i = 0; i < elements; ++i) {
      state = state * 1664525u + 1013904223u;
      const float value = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
      if (type == DType::bf16) {
        reinterpret_cast<Bf16*>(buffer_->data())[i] = to_bf16(value);
      } else {
        reinterpret_cast<float*>(buffer_->data())[i] = value;
      }
    }
  }
  std::byte* data() { return buffer_->data(); }

 private:
  std::shared_ptr<Buffer> buffer_;
};

double median(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
}

// Products of a query's and a key's channels.
double pairs(const Shape& shape) {
  return static_cast<double>(shape.batch * shape.heads * shape.head_dim) *
         static_cast<double>(shape.queries * shape.keys);
}

// What all measurements share.
struct Bench {
  Isa isa;
  ThreadPool& pool;
  int rounds;

  template <class Problem>
  void time(const Shape& shape, DType type, const Problem& problem,
            const Selection<Kernel<Problem>>& selection, const typename Problem::Operands& operands,
            double flops) {
    if (selection.kernel == nullptr) {
      std::printf("%-18s refused: %s\n", shape.name, selection.reason);
      return;
    }
    const auto scratch = Buffer::allocate(selection.kernel->scratch_bytes(problem, pool.size()));
    const RunContext context{pool, scratch->data()};
    const int repeats = 1 + static_cast<int>(2e9 / flops);
    std::vector<double> times, ceilings{probe_flops(isa, type, pool, 0.01)};
    for (int round = 0; round < rounds; ++round) {
      const double start = seconds_now();
      for (int i = 0; i < repeats; ++i) selection.kernel->run(problem, operands, context);
      times.push_back((seconds_now() - start) / repeats);
      ceilings.push_back(probe_flops(isa, type, pool, 0.01));
    }
    report(shape, selection.kernel->name, type, flops, times, ceilings);
  }

 private:
  static void report(const Shape& shape, const char* kernel, DType type, double flops,
                     const std::vector<double>& times, const std::vector<double>& ceilings) {
    const double best_ceiling = *std::max_element(ceilings.begin(), ceilings.end());
    std::vector<double> quiet;
    for (std::size_t i = 0; i < times.size(); ++i) {
      if (std::min(ceilings[i], ceilings[i + 1]) > 0.9 * best_ceiling) quiet.push_back(times[i]);
    }
    const double time = median(quiet.empty() ? times : quiet);
    std::printf("%-18s %-36s %-5s %9.3f ms %5.0f GFLOP/s %5.1f%% of %.0f (%zu rounds of %zu)\n",
                shape.name, kernel, type == DType::bf16 ? "bf16" : "f32", time * 1e3,
                flops / time * 1e-9, 100 * flops / time / best_ceiling, best_ceiling * 1e-9,
                quiet.size(), times.size());
  }
};

void measure(const Shape& shape, DType type, AttentionScores scores, Bench bench) {
  const std::int64_t width = shape.heads * shape.head_dim;
  AttentionProblem problem{shape.batch, shape.heads, shape.queries, shape.keys, shape.head_dim,
                           width,       width,       width,         0.125f};
  problem.type = problem.output = type;
  problem.scores = scores;
  const std::int64_t queries = shape.batch * shape.queries * width;
  const std::int64_t keys = shape.batch * shape.keys * width;
  Tokens q(queries, type), k(keys, type), v(keys, type), out(queries, type);
  bench.time(shape, type, problem, select_attention(problem, bench.isa),
             {q.data(), k.data(), v.data(), out.data()}, 4.0 * pairs(shape));
}

void measure_gradient(const Shape& shape, DType type, Bench bench) {
  const std::int64_t width = shape.heads * shape.head_dim;
  AttentionGradientProblem problem{shape.batch,    shape.heads, shape.queries, shape.keys,
                                   shape.head_dim, 0.125f};
  problem.type = type;
  const std::int64_t queries = shape.batch * shape.queries * width;
  const std::int64_t keys = shape.batch * shape.keys * width;
  Tokens q(queries, type), output(queries, type), gradient(queries, type), dq(queries, type);
  Tokens k(keys, type), v(keys, type), dk(keys, type), dv(keys, type);
  bench.time(shape, type, problem, select_attention_gradient(problem, bench.isa),
             {q.data(), k.data(), v.data(), output.data(), gradient.data(), dq.data(), dk.data(),
              dv.data()},
             10.0 * pairs(shape));
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  bookend::Isa isa = bookend::best_isa();
  if (threads < 1 || rounds < 1 || (argc > 3 && !bookend::parse_isa(argv[3], &isa))) {
    std::fprintf(stderr, "usage: attention_bench [threads] [rounds] [isa] [shape]\n");
    return 2;
  }
  const char* filter = argc > 4 ? argv[4] : "";
  bookend::ThreadPool pool(threads);
  for (const Shape& shape : kShapes) {
    if (std::strstr(shape.name, filter) == nullptr) continue;
    const Bench bench{isa, pool, rounds};
    measure(shape, bookend::DType::bf16, bookend::AttentionScores::floats, bench);
    measure(shape, bookend::DType::bf16, bookend::AttentionScores::int8, bench);
    measure(shape, bookend::DType::f32, bookend::AttentionScores::floats, bench);
    measure_gradient(shape, bookend::DType::bf16, bench);
    measure_gradient(shape, bookend::DType::f32, bench);
  }
}
