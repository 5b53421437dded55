// One row of a kernel table from a struct of refuse, scratch_bytes and run.
#pragma once

#include "dispatch/kernel.h"

namespace bookend {
namespace {

template <class K, class Implementation>
constexpr K make_row(const char* name, Isa isa) {
  return {name, isa, Implementation::refuse, Implementation::scratch_bytes, Implementation::run};
}

}  // namespace
}  // namespace bookend
