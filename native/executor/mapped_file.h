// Part of a file, seen as memory without reading it first.
#pragma once

#include <cstddef>
#include <string>

namespace bookend {

class MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Maps `length` bytes from `offset`, which need not be aligned to anything. Returns an empty
  // string, or one phrase that says what failed. The size is that of the file as it is now: a file
  // that shrinks while it is mapped ends the process, as with every mapping.
  std::string open(const std::string& path, std::size_t offset, std::size_t length);

  const std::byte* data() const { return data_; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  const std::byte* data_ = nullptr;
};

}  // namespace bookend
