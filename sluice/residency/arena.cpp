#include "sluice/residency/arena.h"

#include <sys/mman.h>

#include <cassert>
#include <cstdint>

#include "sluice/base/checked.h"
#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr size_t kHugePage = 2 << 20;

}  // namespace

Arena::Arena(Bytes size) : size_(size) {
  const auto mapped = checked_add(size.count, kHugePage);
  mapping_ = !mapped ? MAP_FAILED
                     : ::mmap(nullptr, *mapped, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) {
    fail(ErrorKind::over_budget, "no address space for {} of weights; give a smaller --ram",
         to_string(size));
  }
  const auto address = reinterpret_cast<uintptr_t>(mapping_);
  data_ = static_cast<std::byte*>(mapping_) + (kHugePage - address % kHugePage) % kHugePage;
  advise_huge_pages(data_, size_.count);
}

Arena::~Arena() { ::munmap(mapping_, size_.count + kHugePage); }

void Arena::release(size_t offset, size_t bytes) {
  assert(offset + bytes <= size_.count);
  give_back_pages(data_ + offset, bytes);
}

}  // namespace sluice::residency
