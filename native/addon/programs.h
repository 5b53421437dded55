// Programs and their runs.
#pragma once

#include <napi.h>

namespace bookend {

// createProgram({isa, threads, arenaBytes, instructions, inputs, outputs}) -> program, where inputs
// and outputs are [{arena, bytes}].
Napi::Value create_program_js(const Napi::CallbackInfo& info);

// describeProgram(program) -> {kernels: [{name, isa}], scratchBytes}
Napi::Value describe_program_js(const Napi::CallbackInfo& info);

// createArena() -> arena; releaseArena(arena), releaseProgram(program)
Napi::Value create_arena_js(const Napi::CallbackInfo& info);
Napi::Value release_arena_js(const Napi::CallbackInfo& info);
Napi::Value release_program_js(const Napi::CallbackInfo& info);

// run(program, arena, inputs: TypedArray[], profile) -> {promise, abort()}. The promise gives
// {outputs: ArrayBuffer[], seconds?: number[]}.
Napi::Value run_js(const Napi::CallbackInfo& info);

// Must be called once per environment, before the functions above.
void start_executor(Napi::Env env);

}  // namespace bookend
