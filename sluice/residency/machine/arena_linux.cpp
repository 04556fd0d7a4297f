#include <sys/mman.h>

#include "sluice/residency/machine/arena.h"

namespace sluice::residency {

void advise_huge_pages(std::byte* data, size_t bytes) {
  (void)::madvise(data, bytes, MADV_HUGEPAGE);
}

bool take_pages(std::byte* data, size_t bytes) {
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14; older headers lack it
  return ::madvise(data, bytes, kPopulateWrite) == 0;
}

void give_back_pages(std::byte* data, size_t bytes) { (void)::madvise(data, bytes, MADV_DONTNEED); }

}  // namespace sluice::residency
