#pragma once

namespace sluice::engine {

/// Bounds what MLX keeps of freed memory to 32 MB, for the whole process: a program's to call, not a library's, which others
/// in the process compute beside. Within EngineOptions::ram the engine sets it, to less.
void limit_mlx_cache();

}  // namespace sluice::engine
