// One fixed pool for every kernel. The caller is worker 0, so a pool of n threads owns n - 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
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

  int size() const { return size_; }

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
    claim(tasks,
          [](const void* context, std::int64_t task, int worker) {
            (*static_cast<const Body*>(context))(task, worker);
          },
          &body);
  }

 private:
  using Job = void (*)(const void*, int);
  using Task = void (*)(const void*, std::int64_t, int);
  // Not templates, so that no code of the standard library is compiled with a kernel's ISA flags.
  void run(Job job, const void* context);
  void claim(std::int64_t tasks, Task task, const void* context);
  void work(int worker);

  int size_;
  std::vector<std::thread> workers_;
  Job job_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace bookend
