// Memory for weights and activations: aligned for every vector unit, on huge pages where it is big.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace bookend {

class Buffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  // Zeroed memory, or nullptr when the system has none left. `bytes` may be 0.
  static std::shared_ptr<Buffer> allocate(std::size_t bytes);

  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

  // A kernel's packing, so that no kernel reads another's layout; empty for plain elements.
  std::string format;
  // Whether Programs may write to it: weights belong to every Program that reads them.
  bool writable = false;

 private:
  Buffer(std::byte* data, std::size_t size, std::size_t mapped)
      : data_(data), size_(size), mapped_(mapped) {}

  std::byte* data_;
  std::size_t size_;
  std::size_t mapped_;  // bytes mapped at data_, or 0 when the memory came from the heap
};

}  // namespace bookend
