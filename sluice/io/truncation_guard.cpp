#include "sluice/io/truncation_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "sluice/base/error.h"
#include "sluice/io/page_size.h"

namespace sluice::io {
namespace {

// A slot is free (version even) or guards a range (odd); claiming and releasing add 1. The handler reads a
// slot between two equal odd versions, so it never mixes an old range with a new one. Everything it touches
// is a lock-free atomic in static storage.
struct Slot {
  std::atomic<bool> claimed{false};
  std::atomic<uint64_t> version{0};
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<std::atomic<bool>*> lost{nullptr};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free &&
              std::atomic<uint64_t>::is_always_lock_free);

constinit std::array<Slot, 4096> slots;
constinit std::atomic<size_t> slots_used{0};  // slots above this number were never claimed
constinit std::atomic<size_t> page_bytes{0};
struct sigaction previous;  // written once, before our handler can run

struct Found {
  std::atomic<bool>* lost = nullptr;
  uintptr_t end = 0;
};

Found find(uintptr_t address) noexcept {
  const size_t used = slots_used.load(std::memory_order_acquire);
  for (size_t i = 0; i < used; ++i) {
    const Slot& slot = slots[i];
    const uint64_t version = slot.version.load(std::memory_order_acquire);
    if (version % 2 == 0) continue;
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    const uintptr_t end = slot.end.load(std::memory_order_acquire);
    std::atomic<bool>* const lost = slot.lost.load(std::memory_order_acquire);
    if (slot.version.load(std::memory_order_acquire) != version) continue;
    if (begin <= address && address < end) return {lost, end};
  }
  return {};
}

void call_previous(int signal, siginfo_t* details, void* context) noexcept {
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(signal, details, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // The instruction faults again on return, and now the process ends as it would have without us.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(signal, &standard, nullptr);
    if (details->si_code <= 0) ::raise(signal);  // sent by kill: nothing would fault again
  }
}

void on_bus_error(int signal, siginfo_t* details, void* context) noexcept {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<uintptr_t>(details->si_addr);
  const Found found = details->si_code > 0 ? find(address) : Found{};  // kill(2) gives no address
  bool survived = false;
  if (found.lost != nullptr) {
    // The flag first: whoever reads the zeros, on any thread, then finds it set.
    found.lost->store(true, std::memory_order_release);
    const uintptr_t page = address - address % page_bytes.load(std::memory_order_relaxed);
    // To the range's end in one go: all after the new end of file is lost as well, and a fault for each
    // page of a 10 GB file would take seconds.
    survived = ::mmap(reinterpret_cast<void*>(page), found.end - page, PROT_READ,
                      MAP_PRIVATE | MAP_ANON | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  if (!survived) call_previous(signal, details, context);
  errno = saved_errno;
}

bool install() {
  page_bytes.store(page_size());
  // Asked for first: a SIGBUS between installing ours and learning of the old one would find no handler.
  if (::sigaction(SIGBUS, nullptr, &previous) != 0) return false;
  struct sigaction ours {};
  ours.sa_sigaction = on_bus_error;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  return ::sigaction(SIGBUS, &ours, nullptr) == 0;
}

}  // namespace

size_t guard_against_truncation(std::span<std::byte> range, std::atomic<bool>& lost) {
  static const bool installed = install();
  if (!installed) fail(ErrorKind::io, "the SIGBUS handler cannot be installed");
  for (size_t i = 0; i < slots.size(); ++i) {
    Slot& slot = slots[i];
    if (slot.claimed.exchange(true, std::memory_order_acq_rel)) continue;
    slot.begin.store(reinterpret_cast<uintptr_t>(range.data()), std::memory_order_release);
    slot.end.store(reinterpret_cast<uintptr_t>(range.data() + range.size()),
                   std::memory_order_release);
    slot.lost.store(&lost, std::memory_order_release);
    slot.version.fetch_add(1, std::memory_order_release);
    size_t used = slots_used.load(std::memory_order_relaxed);
    while (used <= i && !slots_used.compare_exchange_weak(used, i + 1, std::memory_order_release)) {
    }
    return i;
  }
  fail(ErrorKind::io, "more than {} files are mapped", slots.size());
}

void stop_guarding(size_t slot) noexcept {
  slots[slot].version.fetch_add(1, std::memory_order_release);
  slots[slot].claimed.store(false, std::memory_order_release);
}

}  // namespace sluice::io
