#include <sched.h>

#include <algorithm>
#include <thread>

#include "sluice/base/cgroup_linux.h"
#include "sluice/base/thread_pool.h"

namespace sluice {

int available_processors(const std::filesystem::path& root) {
  int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) count = CPU_COUNT(&allowed);
  for (const Cgroup& group : cgroups(root, "cpu")) {
    if (const auto quota = cpu_quota(group); quota && *quota < count) {
      count = static_cast<int>(*quota + 0.5);
    }
  }
  return std::max(1, count);
}

}  // namespace sluice
