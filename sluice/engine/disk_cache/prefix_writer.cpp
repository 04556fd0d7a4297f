#include "sluice/engine/disk_cache/prefix_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sluice/base/digest.h"
#include "sluice/engine/disk_cache/block_tag.h"

namespace sluice::engine {
namespace {

using kernels::kKvBlockTokens;

}  // namespace

PrefixWriter::PrefixWriter(PromptStore& store, std::shared_ptr<const nn::KvLayout> layout,
                           Identity identity, std::function<bool(Bytes)> is_wanted)
    : store_(store),
      layout_(std::move(layout)),
      identity_(std::move(identity)),
      is_wanted_(std::move(is_wanted)) {
  thread_.start("writes the disk cache", [this] { loop(); });
}

PrefixWriter::~PrefixWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void PrefixWriter::keep(Kept kept) {
  {
    const std::lock_guard lock(mutex_);
    n_tokens_ += kept.tokens.size();
    queue_.push_back(std::move(kept));
    while (queue_.size() > kMostKept || (n_tokens_ > kMostTokens && queue_.size() > 1)) {
      n_tokens_ -= queue_.front().tokens.size();
      queue_.pop_front();
    }
  }
  wake_.notify_one();
}

void PrefixWriter::set_idle(bool idle) {
  {
    const std::lock_guard lock(mutex_);
    if (idle == idle_) return;
    idle_ = idle;
    idle_since_ = Clock::now();
  }
  if (idle) wake_.notify_one();
}

bool PrefixWriter::let_go() {
  std::unique_lock lock(mutex_);
  if (!holding_) return false;
  letting_go_ = true;
  told_.wait(lock, [this] { return !holding_; });
  letting_go_ = false;
  return true;
}

void PrefixWriter::flush(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  flushing_ = true;
  wake_.notify_one();
  told_.wait_for(lock, most, [this] { return queue_.empty() && !writing_; });
  flushing_ = false;
}

PrefixWriter::Written PrefixWriter::written() const {
  const std::lock_guard lock(mutex_);
  return written_;
}

bool PrefixWriter::may_go_on() const {
  const std::lock_guard lock(mutex_);
  return (idle_ || flushing_) && !letting_go_ && !stopping_;
}

void PrefixWriter::set_holding(bool holding) {
  {
    const std::lock_guard lock(mutex_);
    holding_ = holding;
  }
  told_.notify_all();
}

void PrefixWriter::loop() {
  store_.sweep();
  std::unique_lock lock(mutex_);
  while (true) {
    const bool has_work = !queue_.empty();
    if (stopping_) return;
    if (!has_work || !is_time()) {
      if (has_work && idle_) {
        wake_.wait_until(lock, idle_since_ + kCalm);
      } else {
        wake_.wait(lock);
      }
      continue;
    }
    Kept kept = std::move(queue_.front());
    queue_.pop_front();
    n_tokens_ -= kept.tokens.size();
    writing_ = true;
    lock.unlock();
    const Went went = write(kept);
    lock.lock();
    writing_ = false;
    if (went == Went::stopped) {  // it goes on where it was: what is written is found
      n_tokens_ += kept.tokens.size();
      queue_.push_front(std::move(kept));
    }
    told_.notify_all();
  }
}

std::string PrefixWriter::label_of(const std::string& salt) const {
  if (salt.empty()) return "shared";
  if (salt == identity_.named_salt) return salt;
  Digest digest = Digest::sha256();
  digest.update(salt);
  return digest.hex().substr(0, 8);
}

PrefixWriter::Went PrefixWriter::write(const Kept& kept) {
  const std::string label = label_of(kept.salt);
  StretchKey key{.chain = first_chain(identity_.model, kept.salt),
                 .model = identity_.model,
                 .model_name = identity_.model_name,
                 .label = label,
                 .position = 0,
                 .used_at = kept.used_at,
                 .tokens = {}};
  for (size_t i = 0; i < kept.blocks.size(); ++i) {
    key.position = static_cast<int64_t>(i) * kKvBlockTokens;
    key.tokens = std::span(kept.tokens).subspan(static_cast<size_t>(key.position), kKvBlockTokens);
    key.chain = next_chain(key.chain, key.tokens);
    const Went went = write_stretch(key, kept.blocks[i]);
    if (went != Went::on) return went;
  }
  return Went::on;
}

PrefixWriter::Went PrefixWriter::write_stretch(const StretchKey& key, const Blocks& blocks) {
  if (!may_go_on()) return Went::stopped;
  const auto stored = store_.find_and_use(key);
  Bytes bytes;
  for (size_t g = 0; g < blocks.size(); ++g) {
    if (!blocks[g].expired()) bytes = bytes + layout_->groups[g].block_bytes;
  }
  if (!is_wanted_(bytes)) return Went::refused;
  for (size_t g = 0; g < blocks.size(); ++g) {
    const auto part = static_cast<int64_t>(g);
    if (stored &&
        std::ranges::find(stored->blocks, part, &StoredBlock::part) != stored->blocks.end())
      continue;
    const PromptStore::Put put = write_block(key, g, blocks[g]);
    if (put == PromptStore::Put::stopped) return Went::stopped;
    if (put == PromptStore::Put::refused) return Went::refused;
  }
  return Went::on;
}

PromptStore::Put PrefixWriter::write_block(const StretchKey& key, size_t group,
                                           const std::weak_ptr<residency::KvBlock>& of) {
  set_holding(true);  // before it does: let_go() must not miss it
  std::shared_ptr<residency::KvBlock> block = of.lock();
  std::optional<residency::KvBlock::Pin> pin;
  if (block != nullptr) pin.emplace(*block);
  const auto release = [&] {
    pin.reset();
    block.reset();
    set_holding(false);
  };
  if (!pin || !*pin) {
    release();
    return PromptStore::Put::done;  // it is not in memory any more
  }
  const Bytes size = layout_->groups[group].block_bytes;
  const PromptStore::Put put =
      store_.put(key, static_cast<int64_t>(group),
                 {.bytes = {block->data(), static_cast<size_t>(size.count)},
                  .may_go_on = [this] { return may_go_on(); },
                  .on_read = release});
  if (block != nullptr) release();
  const std::lock_guard lock(mutex_);
  if (put == PromptStore::Put::done) {
    ++written_.blocks;
    written_.bytes = written_.bytes + size;
  }
  if (put == PromptStore::Put::refused) ++written_.refused;
  return put;
}

}  // namespace sluice::engine
