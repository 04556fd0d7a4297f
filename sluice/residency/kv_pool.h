#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "sluice/base/bytes.h"

namespace sluice::residency {

class KvPool;

/// Memory for 256 tokens of key and value rows of some layers. Reference-counted, since sequences that
/// share a prefix share its blocks. `writer` names the one sequence that may write into it.
class KvBlock {
 public:
  KvBlock(KvPool& pool, std::byte* data, Bytes size, uint64_t writer)
      : pool_(pool), data_(data), size_(size), writer_(writer) {}
  ~KvBlock();
  KvBlock(const KvBlock&) = delete;
  KvBlock& operator=(const KvBlock&) = delete;

  std::byte* data() const { return data_; }
  uint64_t writer() const { return writer_; }

 private:
  KvPool& pool_;
  std::byte* data_;
  Bytes size_;
  uint64_t writer_;
};

/// Allocates KV blocks and keeps returned ones for reuse. Thread-safe: a block's last reference may be
/// dropped by a task on the stream's thread. Must outlive its blocks.
class KvPool {
 public:
  KvPool() = default;
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  std::shared_ptr<KvBlock> allocate(Bytes size, uint64_t writer);

  /// Allocates `count` blocks of `size` now and touches their pages, so that generation allocates nothing.
  void reserve(Bytes size, int64_t count);

  Bytes allocated() const;  ///< in use and kept for reuse

 private:
  friend class KvBlock;
  void give_back(std::byte* data, Bytes size);
  std::byte* take(Bytes size);

  mutable std::mutex mutex_;
  std::map<uint64_t, std::vector<std::byte*>> free_;
  Bytes allocated_;
};

}  // namespace sluice::residency
