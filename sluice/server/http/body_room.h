#pragma once

#include <atomic>
#include <cstdint>

#include "sluice/base/bytes.h"

namespace sluice::server {

/// The memory that all requests' bodies may take together. From any thread.
class BodyRoom {
 public:
  explicit BodyRoom(Bytes most) : most_(most) {}

  /// What one body takes, given back when it is gone.
  class Share {
   public:
    explicit Share(BodyRoom& room) : room_(room) {}
    ~Share() { room_.used_ -= bytes_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    /// Takes what is missing of so much; false, and no more than before, when there is no room.
    bool grow_to(uint64_t bytes);

   private:
    BodyRoom& room_;
    uint64_t bytes_ = 0;
  };

  Bytes most() const { return most_; }

 private:
  const Bytes most_;
  std::atomic<uint64_t> used_ = 0;
};

inline bool BodyRoom::Share::grow_to(uint64_t bytes) {
  if (bytes <= bytes_) return true;
  const uint64_t more = bytes - bytes_;
  if (room_.used_.fetch_add(more) + more > room_.most_.count) {
    room_.used_ -= more;
    return false;
  }
  bytes_ = bytes;
  return true;
}

}  // namespace sluice::server
