#include "sluice/residency/kv_pool.h"

#include <cstdlib>
#include <cstring>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr size_t kAlignment = 64;  // a cache line

size_t rounded(Bytes size) {
  return (static_cast<size_t>(size.count) + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

KvBlock::~KvBlock() { pool_.give_back(data_, size_); }

KvPool::~KvPool() {
  for (auto& [size, blocks] : free_) {
    for (std::byte* block : blocks) std::free(block);
  }
}

std::byte* KvPool::take(Bytes size) {
  const std::lock_guard lock(mutex_);
  auto& kept = free_[size.count];
  if (!kept.empty()) {
    std::byte* data = kept.back();
    kept.pop_back();
    return data;
  }
  auto* data = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded(size)));
  if (data == nullptr) {
    fail(ErrorKind::over_budget, "no memory for a KV block of {} ({} of KV in use)",
         to_string(size), to_string(allocated_));
  }
  allocated_ = allocated_ + size;
  return data;
}

std::shared_ptr<KvBlock> KvPool::allocate(Bytes size, uint64_t writer) {
  return std::make_shared<KvBlock>(*this, take(size), size, writer);
}

void KvPool::reserve(Bytes size, int64_t count) {
  std::vector<std::byte*> blocks;
  for (int64_t i = 0; i < count; ++i) {
    blocks.push_back(take(size));
    std::memset(blocks.back(), 0, size.count);
  }
  for (std::byte* block : blocks) give_back(block, size);
}

void KvPool::give_back(std::byte* data, Bytes size) {
  const std::lock_guard lock(mutex_);
  free_[size.count].push_back(data);
}

Bytes KvPool::allocated() const {
  const std::lock_guard lock(mutex_);
  return allocated_;
}

}  // namespace sluice::residency
