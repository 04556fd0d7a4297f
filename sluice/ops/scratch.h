#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace sluice::ops {

/// Bytes at a multiple of 64, uninitialized. Grows, never shrinks.
class AlignedBytes {
 public:
  std::byte* at_least(int64_t n) {
    if (n > size_) {
      bytes_.reset();  // before the new ones are there: both at once would count twice
      size_ = 0;
      bytes_.reset(new (std::align_val_t{64}) std::byte[static_cast<size_t>(n)]);
      size_ = n;
    }
    return bytes_.get();
  }
  int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept { ::operator delete[](p, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  int64_t size_ = 0;
};

/// Memory for a primitive's intermediate values. Bodies run one after another on the stream, so one of these
/// serves them all: each takes what it needs and its one Frame gives it back. What one primitive needed is kept for the next.
class Scratch {
 public:
  class Frame {
   public:
    explicit Frame(Scratch& scratch) : scratch_(scratch) {}
    ~Frame() { scratch_.start_anew(); }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

    /// n uninitialized elements at a multiple of 64, valid until the frame ends.
    template <class T>
    T* take(int64_t n) {
      return reinterpret_cast<T*>(scratch_.take(n * static_cast<int64_t>(sizeof(T))));
    }

   private:
    Scratch& scratch_;
  };

 private:
  std::byte* take(int64_t n) {
    n = (n + 63) / 64 * 64;
    if (blocks_.empty() || used_ + n > blocks_.back().size()) {
      taken_ += used_;
      used_ = 0;
      blocks_.emplace_back().at_least(std::max(n, std::exchange(wanted_, 0)));
    }
    std::byte* p = blocks_.back().at_least(0) + used_;
    used_ += n;
    return p;
  }
  /// Of several blocks the next primitive makes one, so that one of this size takes all from it.
  /// Not here, where a frame ends: that must not fail.
  void start_anew() noexcept {
    if (blocks_.size() > 1) {
      wanted_ = taken_ + used_;
      blocks_.clear();
    }
    taken_ = used_ = 0;
  }

  std::vector<AlignedBytes> blocks_;
  int64_t taken_ = 0;   // from the blocks before the last
  int64_t used_ = 0;    // from the last
  int64_t wanted_ = 0;  // of the next one, at least
};

}  // namespace sluice::ops
