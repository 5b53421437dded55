// The ceiling that kernels are measured against: multiply-adds on registers alone.
#pragma once

#include "base/thread_pool.h"
#include "base/types.h"
#include "dispatch/isa.h"

namespace bookend {

// Sustained FLOP/s (a multiply-add counts two) of all the pool's workers together over about
// `seconds`, with the instructions for products of `type`: f32, bf16, or u8 (u8 x s8) on sets up
// to `limit` that this machine offers. 0 for a type that has none. Other programs on the same cores
// lower it, so measure it next to what it is compared with.
double probe_flops(Isa limit, DType type, ThreadPool& pool, double seconds);

}  // namespace bookend
