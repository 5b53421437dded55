#include "executor/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bookend {

MappedFile::~MappedFile() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_);
}

std::string MappedFile::open(const std::string& path, std::size_t offset, std::size_t length) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return path + " cannot be opened: " + std::strerror(errno);
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(file);
    return path + " is not a regular file";
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (length == 0 || offset > size || length > size - offset) {
    close(file);
    return path + " has " + std::to_string(size) + " bytes, too few for " +
           std::to_string(length) + " at " + std::to_string(offset);
  }
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t begin = offset / page * page;
  mapped_ = offset - begin + length;
  void* mapping =
      mmap(nullptr, mapped_, PROT_READ, MAP_PRIVATE, file, static_cast<off_t>(begin));
  const int error = errno;
  close(file);
  if (mapping == MAP_FAILED) return path + " cannot be mapped: " + std::strerror(error);
  mapping_ = mapping;
  madvise(mapping_, mapped_, MADV_WILLNEED);
  data_ = static_cast<const std::byte*>(mapping_) + (offset - begin);
  return {};
}

}  // namespace bookend
