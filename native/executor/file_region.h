// Part of a file, read into memory.
#pragma once

#include <cstddef>
#include <string>

namespace bookend {

// Reads `length` bytes from `offset` of the regular file at `path`. Returns an empty string, or one
// phrase that says what failed. No mapping, since a mapped file that becomes shorter ends the
// process.
std::string read_region(const std::string& path, std::size_t offset, std::size_t length,
                        std::byte* to);

}  // namespace bookend
