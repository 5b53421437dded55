// Times the kernels that memory bounds, on the largest activations of SD 1.5 at 512x512, batch 2:
//   pointwise_bench [threads] [rounds] [isa]
// Prints GB/s of operands read and results written, once each; medians over rounds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/copy/copy.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/observe/observe.h"

namespace {

using namespace bookend;

constexpr std::int64_t kBatch = 2, kRows = 4096, kChannels = 320;

struct Bench {
  ThreadPool& pool;
  Isa isa;
  int rounds;
  std::vector<std::byte> a, b, out, parameters;

  double seconds_now() const {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
  }

  template <class K, class Problem>
  void time(const char* what, Selection<K> selection, const Problem& problem,
            const typename Problem::Operands& operands, double bytes) {
    if (selection.kernel == nullptr) {
      std::printf("%-28s refused: %s\n", what, selection.reason);
      return;
    }
    const std::size_t size = selection.kernel->scratch_bytes(problem, pool.size()) + 64;
    auto* scratch = static_cast<std::byte*>(std::aligned_alloc(64, size / 64 * 64));
    std::vector<double> times;
    for (int round = 0; round <= rounds; ++round) {
      const double start = seconds_now();
      for (int i = 0; i < 4; ++i) selection.kernel->run(problem, operands, {pool, scratch});
      if (round > 0) times.push_back((seconds_now() - start) / 4);
    }
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2];
    std::printf("%-28s %-32s %8.3f ms %6.1f GB/s\n", what, selection.kernel->name, median * 1e3,
                bytes / median * 1e-9);
    std::free(scratch);
  }

  void run(DType type) {
    const char* of = type == DType::bf16 ? "bf16" : "f32";
    const double size = static_cast<double>(byte_size(type));
    const std::int64_t rows = kBatch * kRows, count = rows * kChannels;
    const double one = size * static_cast<double>(count);
    const auto* gamma = reinterpret_cast<const float*>(parameters.data());
    char what[64];
    const auto label = [&](const char* name) {
      std::snprintf(what, sizeof what, "%s %s", name, of);
      return what;
    };

    GroupNormProblem norm{kBatch, kRows, kChannels, 0, 32, 1e-5f, type, type, Activation::silu};
    time(label("group norm + silu"), select_group_norm(norm, isa), norm,
         {a.data(), nullptr, gamma, gamma, out.data()}, 2 * one);
    norm.skip_channels = kChannels;
    time(label("group norm + silu, skip"), select_group_norm(norm, isa), norm,
         {a.data(), b.data(), gamma, gamma, out.data()}, 4 * one);
    const LayerNormProblem layer{rows, kChannels, 1e-5f, type, type};
    time(label("layer norm"), select_layer_norm(layer, isa), layer,
         {a.data(), gamma, gamma, out.data()}, 2 * one);
    const double narrow = one + static_cast<double>(count);
    norm.skip_channels = 0;
    norm.output = DType::u8;
    time(label("group norm + silu to u8 from"), select_group_norm(norm, isa), norm,
         {a.data(), nullptr, gamma, gamma, out.data()}, narrow);
    LayerNormProblem codes = layer;
    codes.output = DType::u8;
    time(label("layer norm to u8 from"), select_layer_norm(codes, isa), codes,
         {a.data(), gamma, gamma, out.data()}, narrow);
    const UnaryProblem quantize{UnaryOp::affine, count, 50.0f, 128.0f, type, DType::u8};
    time(label("cast to u8 from"), select_unary(quantize, isa), quantize, {a.data(), out.data()},
         narrow);
    const UnaryProblem dequantize{UnaryOp::affine, count, 0.02f, -2.56f, DType::u8, type};
    time(label("cast from u8 to"), select_unary(dequantize, isa), dequantize,
         {a.data(), out.data()}, narrow);
    auto* results = reinterpret_cast<float*>(out.data());
    const ObserveProblem observe{rows, kChannels, type};
    time(label("observe"), select_observe(observe, isa), observe,
         {a.data(), reinterpret_cast<std::int32_t*>(results), results + kObserveBins,
          results + kObserveBins + 2, results + kObserveBins + 2 + kChannels},
         one);
    const UnaryProblem silu{UnaryOp::silu, count, 1.0f, 0.0f, type, type};
    time(label("silu"), select_unary(silu, isa), silu, {a.data(), out.data()}, 2 * one);
    const UnaryProblem cast{UnaryOp::affine, count, 1.0f, 0.0f, type, DType::f32};
    time(label("cast to f32 from"), select_unary(cast, isa), cast, {a.data(), out.data()},
         one + 4.0 * static_cast<double>(count));
    const GegluProblem geglu{rows, kChannels, type};
    time(label("geglu"), select_geglu(geglu, isa), geglu, {a.data(), out.data()}, 3 * one);
    const SoftmaxProblem softmax{rows, kChannels, type};
    time(label("softmax"), select_softmax(softmax, isa), softmax, {a.data(), out.data()}, 2 * one);
    const BinaryProblem add{BinaryOp::add, {1, 1, 1, count}, {0, 0, 0, 1}, {0, 0, 0, 1}, type,
                            type,          type};
    time(label("add"), select_binary(add, isa), add, {a.data(), b.data(), out.data()}, 3 * one);
    const CopyProblem upsample{{kBatch, 32, 2, 32, 2, kChannels},
                               {1024 * kChannels, 32 * kChannels, 0, kChannels, 0, 1},
                               {kRows * kChannels, 128 * kChannels, 64 * kChannels, 2 * kChannels,
                                kChannels, 1},
                               0,
                               0,
                               type};
    time(label("upsample"), select_copy(upsample, isa), upsample, {a.data(), out.data()},
         1.25 * one);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 15;
  bookend::Isa isa = bookend::best_isa();
  if (threads < 1 || rounds < 1 || (argc > 3 && !bookend::parse_isa(argv[3], &isa))) {
    std::fprintf(stderr, "usage: pointwise_bench [threads] [rounds] [isa]\n");
    return 2;
  }
  bookend::ThreadPool pool(threads);
  const std::size_t bytes = kBatch * kRows * kChannels * sizeof(float);
  const std::vector<std::byte> zeros(2 * bytes);
  Bench bench{pool, isa, rounds, zeros, zeros, zeros, zeros};
  for (const bookend::DType type : {bookend::DType::bf16, bookend::DType::f32}) bench.run(type);
}
