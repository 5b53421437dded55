#include "executor/file_region.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bookend {
namespace {

// Linux moves less than 2 GiB at a time, macOS refuses to be asked for more.
constexpr std::size_t kLargestRead = std::size_t{1} << 30;

std::string read_open(int file, const std::string& path, std::size_t offset, std::size_t length,
                      std::byte* to) {
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    return path + " is not a regular file";
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (offset > size || length > size - offset) {
    return path + " has " + std::to_string(size) + " bytes, too few for " +
           std::to_string(length) + " at " + std::to_string(offset);
  }
  std::size_t done = 0;
  while (done < length) {
    const std::size_t rest = length - done;
    const ssize_t got = pread(file, to + done, rest < kLargestRead ? rest : kLargestRead,
                              static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return path + " cannot be read: " + std::strerror(errno);
    if (got == 0) return path + " became shorter while it was read";
    done += static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace

std::string read_region(const std::string& path, std::size_t offset, std::size_t length,
                        std::byte* to) {
  // Without O_NONBLOCK, opening a named pipe would wait for its other end.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return path + " cannot be opened: " + std::strerror(errno);
  std::string problem = read_open(file, path, offset, length, to);
  close(file);
  return problem;
}

}  // namespace bookend
