#pragma once

#include <atomic>
#include <cstddef>
#include <span>

namespace sluice::io {

/// The process's SIGBUS handler and the address ranges it answers for. A fault in a guarded range sets the
/// range's flag, then maps zero pages from the faulting page to the range's end, and the read goes on.
/// Any other SIGBUS goes to the handler that was there before. A handler installed later must do likewise.
///
/// `range` starts and ends at page boundaries and, like `lost`, must outlive the guard.
/// Returns the slot to hand to stop_guarding, before the range is unmapped. Installs the handler on the
/// first call. Throws Error(io) when it cannot, or all 4096 slots are taken.
size_t guard_against_truncation(std::span<std::byte> range, std::atomic<bool>& lost);
void stop_guarding(size_t slot) noexcept;

}  // namespace sluice::io
