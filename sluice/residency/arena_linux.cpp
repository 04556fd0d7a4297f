#include <sys/mman.h>

#include "sluice/residency/arena.h"

namespace sluice::residency {

void advise_huge_pages(std::byte* data, size_t bytes) {
  (void)::madvise(data, bytes, MADV_HUGEPAGE);
}

void give_back_pages(std::byte* data, size_t bytes) { (void)::madvise(data, bytes, MADV_DONTNEED); }

}  // namespace sluice::residency
