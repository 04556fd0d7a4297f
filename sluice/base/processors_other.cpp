#include <algorithm>
#include <thread>

#include "sluice/base/thread_pool.h"

namespace sluice {

int available_processors(const std::filesystem::path&) {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace sluice
