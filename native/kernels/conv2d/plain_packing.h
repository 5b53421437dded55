// Packing of weights that are computed, or change from run to run: into scratch memory, by all
// threads, each time a convolution runs.
#pragma once

#include "base/thread_pool.h"
#include "kernels/conv2d/panel_layout.h"

namespace bookend {

// What pack_plain writes, rounded up to whole cache lines; 0 for weights that come packed.
std::size_t plain_packing_bytes(const Conv2dProblem& problem, const PanelLayout& layout);

// Packs `weights`, which lie as problem.view says and are f32 or bf16 like the layout.
void pack_plain(const Conv2dProblem& problem, const PanelLayout& layout, const void* weights,
                std::byte* packed, ThreadPool& pool);

}  // namespace bookend
