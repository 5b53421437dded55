// One fixed pool for every kernel. The caller is worker 0, so a pool of n threads owns n - 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace bookend {

struct Range {
  std::int64_t begin;
  std::int64_t end;
};

// Part `index` of `parts` nearly equal, contiguous parts of [0, total).
inline Range split(std::int64_t total, int parts, int index) {
  return {total * index / parts, total * (index + 1) / parts};
}

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(worker) once on every worker, 0 <= worker < size(), and returns when all are done.
  template <class Body>
  void parallel(const Body& body) {
    run([](const void* context, int worker) { (*static_cast<const Body*>(context))(worker); }, &body);
  }

  // Calls body(task, worker) for every task in [0, tasks). Workers claim tasks in ascending order
  // as they come free: a core shared with strangers must not hold up the others. Results may depend
  // on the task alone, never on the worker.
  template <class Body>
  void for_each(std::int64_t tasks, const Body& body) {
    if (size() == 1 || tasks == 1) {
      for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
      return;
    }
    std::atomic<std::int64_t> next{0};
    parallel([&](int worker) {
      for (;;) {
        const std::int64_t task = next.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks) return;
        body(task, worker);
      }
    });
  }

 private:
  using Job = void (*)(const void*, int);
  void run(Job job, const void* context);
  void work(int worker);

  std::vector<std::thread> workers_;
  Job job_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace bookend
