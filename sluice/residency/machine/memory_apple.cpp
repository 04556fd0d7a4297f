#include <mach/mach.h>
#include <sys/sysctl.h>

#include <cstdint>

#include "sluice/base/error.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::residency {
namespace {

bool read_task(mach_task_basic_info_data_t& task) {
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  return task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&task),
                   &count) == KERN_SUCCESS;
}

}  // namespace

MemoryState memory_state(const std::filesystem::path&) {
  uint64_t installed = 0;
  size_t size = sizeof(installed);
  vm_statistics64_data_t pages{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  vm_size_t page = 0;
  mach_task_basic_info_data_t task{};
  task_vm_info_data_t vm{};
  mach_msg_type_number_t vm_count = TASK_VM_INFO_COUNT;
  const mach_port_t host = mach_host_self();
  if (sysctlbyname("hw.memsize", &installed, &size, nullptr, 0) != 0 ||
      host_page_size(host, &page) != KERN_SUCCESS ||
      host_statistics64(host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages), &count) !=
          KERN_SUCCESS ||
      !read_task(task) ||
      task_info(mach_task_self(), TASK_VM_INFO, reinterpret_cast<task_info_t>(&vm), &vm_count) !=
          KERN_SUCCESS) {
    fail(ErrorKind::io, "the system does not say how much memory is free; give --ram a size");
  }
  const uint64_t reclaimable =
      uint64_t{pages.free_count} + pages.inactive_count + pages.purgeable_count;
  return {{installed}, {reclaimable * page}, {task.resident_size}, {vm.internal}};
}

void give_back_freed_memory() {}  // the system's allocator does

Bytes peak_resident(const std::filesystem::path&) {
  mach_task_basic_info_data_t task{};
  return {read_task(task) ? task.resident_size_max : 0};
}

}  // namespace sluice::residency
