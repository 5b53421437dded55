// Times attention on the shapes of Stable Diffusion U-Nets:
//   attention_bench [threads] [rounds] [isa]
// Prints GFLOP/s counted as 4 * batch * heads * queries * keys * head_dim, medians over rounds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/attention/attention.h"

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
    {"vae 32x32 self", 1, 1, 1024, 1024, 512},
};

double seconds_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// Elements of either type that decode to small numbers.
std::vector<std::byte> operand(std::int64_t elements, DType type) {
  std::vector<std::byte> data(static_cast<std::size_t>(elements) * byte_size(type));
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < elements; ++i) {
    state = state * 1664525u + 1013904223u;
    const float value = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
    if (type == DType::bf16) {
      reinterpret_cast<Bf16*>(data.data())[i] = to_bf16(value);
    } else {
      reinterpret_cast<float*>(data.data())[i] = value;
    }
  }
  return data;
}

void measure(const Shape& shape, DType type, Isa isa, ThreadPool& pool, int rounds) {
  const std::int64_t width = shape.heads * shape.head_dim;
  AttentionProblem problem{shape.batch, shape.heads, shape.queries, shape.keys, shape.head_dim,
                           width,       width,       width,         0.125f};
  problem.type = type;
  const auto selection = select_attention(problem, isa);
  if (selection.kernel == nullptr) {
    std::printf("%-18s refused: %s\n", shape.name, selection.reason);
    return;
  }
  auto q = operand(shape.batch * shape.queries * width, type), out = q;
  auto k = operand(shape.batch * shape.keys * width, type), v = k;
  const std::size_t bytes = selection.kernel->scratch_bytes(problem, pool.size()) + 64;
  auto* scratch = static_cast<std::byte*>(std::aligned_alloc(64, bytes / 64 * 64));
  const AttentionOperands operands{q.data(), k.data(), v.data(), out.data()};
  const RunContext context{pool, scratch};
  const double flops = 4.0 * static_cast<double>(shape.batch * width * shape.queries * shape.keys);
  const int repeats = 1 + static_cast<int>(2e9 / flops);
  std::vector<double> times;
  for (int round = 0; round <= rounds; ++round) {
    const double start = seconds_now();
    for (int i = 0; i < repeats; ++i) selection.kernel->run(problem, operands, context);
    if (round > 0) times.push_back((seconds_now() - start) / repeats);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  std::printf("%-18s %-28s %-5s %9.3f ms  median %6.0f  best %6.0f GFLOP/s\n", shape.name,
              selection.kernel->name, type == DType::bf16 ? "bf16" : "f32", median * 1e3,
              flops / median * 1e-9, flops / times[0] * 1e-9);
  std::free(scratch);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  bookend::Isa isa = bookend::best_isa();
  if (threads < 1 || rounds < 1 || (argc > 3 && !bookend::parse_isa(argv[3], &isa))) {
    std::fprintf(stderr, "usage: attention_bench [threads] [rounds] [isa]\n");
    return 2;
  }
  bookend::ThreadPool pool(threads);
  for (const bookend::DType type : {bookend::DType::bf16, bookend::DType::f32}) {
    for (const Shape& shape : kShapes) measure(shape, type, isa, pool, rounds);
  }
}
