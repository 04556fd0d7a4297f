#include <sys/mman.h>

#include "sluice/residency/machine/arena.h"

namespace sluice::residency {

void advise_huge_pages(std::byte*, size_t) {}  // the system chooses

bool take_pages(std::byte*, size_t) { return false; }

void give_back_pages(std::byte* data, size_t bytes) {
  (void)::madvise(data, bytes, MADV_FREE_REUSABLE);
}

}  // namespace sluice::residency
