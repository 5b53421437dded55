// Programs and their runs.
#pragma once

#include <napi.h>

namespace bookend {

// createProgram({isa, threads, simulateThreads?, arenaBytes, instructions, inputs, outputs}) ->
// program, where inputs and outputs are [{arena, bytes}].
Napi::Value create_program_js(const Napi::CallbackInfo& info);

// describeProgram(program) -> {kernels: [{name, isa}], scratchBytes}
Napi::Value describe_program_js(const Napi::CallbackInfo& info);

// createArena() -> arena; releaseArena(arena), releaseProgram(program)
Napi::Value create_arena_js(const Napi::CallbackInfo& info);
Napi::Value release_arena_js(const Napi::CallbackInfo& info);
Napi::Value release_program_js(const Napi::CallbackInfo& info);

// run(program, arena, inputs: TypedArray[], measure: 'nothing' | 'instructions' | 'tasks') ->
// {promise, abort()}. The promise gives {outputs: ArrayBuffer[], seconds?: number[], log?}, where
// the log is {instructions, loopTasks, loopSeconds, taskSeconds, taskWorkers, tasksLeftOut}: an
// instruction, a number of tasks and a duration for each loop, then two numbers for each task.
Napi::Value run_js(const Napi::CallbackInfo& info);

// Must be called once per environment, before the functions above.
void start_executor(Napi::Env env);

}  // namespace bookend
