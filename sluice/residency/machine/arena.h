#pragma once

#include <atomic>
#include <cstddef>
#include <thread>

#include "sluice/base/bytes.h"

namespace sluice::residency {

/// Memory for slots, mapped once, in huge pages where the system has them. Aligned to 2 MiB. Pages
/// that nobody wrote to take no memory.
class Arena {
 public:
  /// Throws Error(over_budget) when the system gives no address space.
  explicit Arena(Bytes size);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* data() const { return data_; }
  Bytes size() const { return size_; }

  /// Has a thread of its own take memory from the system up to `end` and a little more: else whoever writes there
  /// first waits for it. Advice only; nothing from the first release() on.
  void take_ahead(size_t end);

  /// Gives the memory of these whole pages back to the system. What they held is lost.
  void release(size_t offset, size_t bytes);

 private:
  void take();
  void stop_taking();

  void* mapping_ = nullptr;  // 2 MiB more than the size, for the alignment
  std::byte* data_ = nullptr;
  Bytes size_;
  std::atomic<size_t> wanted_{0};  // how far memory shall be taken
  std::atomic<bool> stopped_{false};
  std::thread taker_;
};

/// Asks for huge pages; advice only.
void advise_huge_pages(std::byte* data, size_t bytes);

/// Takes memory for these pages as writing to them would; false where it cannot be done ahead.
bool take_pages(std::byte* data, size_t bytes);

/// Gives whole pages back to the system at once.
void give_back_pages(std::byte* data, size_t bytes);

}  // namespace sluice::residency
