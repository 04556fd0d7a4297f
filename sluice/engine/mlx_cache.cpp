#include "sluice/engine/mlx_cache.h"

#include <mlx/memory.h>

#include <cstddef>

namespace sluice::engine {

void limit_mlx_cache() {
  constexpr size_t kBytes = 32 << 20;
  mlx::core::set_cache_limit(kBytes);
}

}  // namespace sluice::engine
