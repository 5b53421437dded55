#include "executor/buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace bookend {
namespace {

// A multiple of every page size: 4 KiB on x86-64, up to 64 KiB elsewhere.
constexpr std::size_t kPage = std::size_t{64} << 10;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Mapped memory goes back to the system as soon as it is freed; the heap may keep it.
constexpr std::size_t kMapFrom = std::size_t{1} << 20;
constexpr std::size_t kLargest = std::size_t{1} << 46;

std::size_t round_up(std::size_t value, std::size_t step) {
  return (value + step - 1) / step * step;
}

// Maps `bytes` at a huge page boundary: maps one huge page more, then gives both ends back.
std::byte* map_aligned(std::size_t bytes) {
  const std::size_t total = bytes + kHugePage;
  void* raw = mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<std::uintptr_t>(raw);
  const std::uintptr_t aligned = round_up(begin, kHugePage);
  if (aligned > begin) munmap(raw, aligned - begin);
  const std::uintptr_t end = aligned + bytes;
  if (begin + total > end) munmap(reinterpret_cast<void*>(end), begin + total - end);
#if defined(__linux__)
  // Advice only: without huge pages everything works, with more misses of the TLB.
  madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
#endif
  return reinterpret_cast<std::byte*>(aligned);
}

}  // namespace

std::shared_ptr<Buffer> Buffer::allocate(std::size_t bytes) {
  if (bytes > kLargest) return nullptr;
  std::byte* data = nullptr;
  std::size_t mapped = 0;
  if (bytes >= kMapFrom) {
    mapped = round_up(bytes, kPage);
    data = map_aligned(mapped);
  } else {
    // At least one line, so that empty memory has an address as well.
    const std::size_t rounded = round_up(bytes + 1, kAlignment);
    data = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
    if (data != nullptr) std::memset(data, 0, rounded);
  }
  if (data == nullptr) return nullptr;
  return std::shared_ptr<Buffer>(new Buffer(data, bytes, mapped));
}

Buffer::~Buffer() {
  if (mapped_ != 0) {
    munmap(data_, mapped_);
  } else {
    std::free(data_);
  }
}

}  // namespace bookend
