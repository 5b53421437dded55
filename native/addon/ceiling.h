// The CPU's ceiling, for benchmarks.
#pragma once

#include <napi.h>

namespace bookend {

// measureCeiling(isa, dtype 'f32' | 'bf16' | 'u8', threads, seconds) -> Promise<number>: FLOP/s, 0
// where the set has no instruction for it.
Napi::Value measure_ceiling_js(const Napi::CallbackInfo& info);

}  // namespace bookend
