#include "sluice/residency/machine/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <system_error>

#include "sluice/base/checked.h"
#include "sluice/base/error.h"
#include "sluice/io/page_size.h"

namespace sluice::residency {
namespace {

constexpr size_t kHugePage = 2 << 20;
/// Memory comes at 1 GB/s or more, and so do disks' bytes.
constexpr size_t kTakenAhead = 256 << 20;

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

Arena::~Arena() {
  stop_taking();
  ::munmap(mapping_, size_.count + kHugePage);
}

void Arena::take_ahead(size_t end) {
  if (stopped_ || end + kTakenAhead / 2 <= wanted_) return;
  wanted_ = std::min<size_t>(end + kTakenAhead, size_.count);
  wanted_.notify_one();
  if (taker_.joinable()) return;
  try {
    taker_ = std::thread([this] { take(); });
  } catch (const std::system_error&) {  // then it is not taken ahead
    stopped_ = true;
  }
}

void Arena::take() {
  for (size_t at = 0; at < size_.count; at += kHugePage) {
    for (size_t wanted = wanted_; wanted <= at; wanted = wanted_) wanted_.wait(wanted);
    if (stopped_ || !take_pages(data_ + at, std::min<size_t>(kHugePage, size_.count - at))) return;
  }
}

void Arena::stop_taking() {
  stopped_ = true;
  wanted_ = size_.count + 1;  // beyond all that it waits for
  wanted_.notify_one();
  if (taker_.joinable()) taker_.join();
}

void Arena::release(size_t offset, size_t bytes) {
  assert(offset + bytes <= size_.count && offset % io::page_size() == 0);
  stop_taking();
  give_back_pages(data_ + offset, bytes);
}

}  // namespace sluice::residency
