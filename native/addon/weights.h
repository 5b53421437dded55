// Weights on their way from a file or a JavaScript array into buffers, off the event loop.
#pragma once

#include <napi.h>

namespace bookend {

// planPacking(problem, isa) -> {kernel, format, packedBytes}
Napi::Value plan_packing_js(const Napi::CallbackInfo& info);

// packWeights(problem, isa, source) -> Promise<buffer>. `source` is {dtype, data: TypedArray} or
// {dtype, path, byteOffset, byteLength}.
Napi::Value pack_weights_js(const Napi::CallbackInfo& info);

// loadVector(source, dtype, count) -> Promise<buffer>: `count` numbers as f32, bf16 or s32.
Napi::Value load_vector_js(const Napi::CallbackInfo& info);

// createFloats(count) -> {buffer, array}: zeroed memory that Programs may write to, and the same memory
// as a Float32Array. It stays as long as either, or a Program over it, does.
Napi::Value create_floats_js(const Napi::CallbackInfo& info);

// releaseBuffer(buffer): frees it as soon as no program uses it.
Napi::Value release_buffer_js(const Napi::CallbackInfo& info);

}  // namespace bookend
