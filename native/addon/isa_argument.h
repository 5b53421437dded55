// The instruction set that a caller asks for.
#pragma once

#include <napi.h>

#include "dispatch/isa.h"

namespace bookend {

// Throws unless `value` names a set that runs here: `unsupported`, with what lacks. AMX may also be
// asked for where only AVX-512 VNNI and BF16 are there; its tiles are then emulated.
Isa isa_argument(const Napi::Value& value);

}  // namespace bookend
