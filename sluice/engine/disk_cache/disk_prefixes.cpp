#include "sluice/engine/disk_cache/disk_prefixes.h"

#include <algorithm>
#include <utility>

#include "sluice/engine/disk_cache/block_tag.h"

namespace sluice::engine {
namespace {

using kernels::kKvBlockTokens;

/// For what was kept, when the engine goes.
constexpr std::chrono::seconds kLastWrites{3};
constexpr std::string_view kReadRate = "bytes_per_second";
/// Of a rate by which reading lost, each time: one slow look must not keep it from being looked at again.
constexpr double kDoubt = 1.05;

}  // namespace

DiskPrefixes::DiskPrefixes(const DiskCacheOptions& options, const std::string& model,
                           std::string model_name, std::shared_ptr<const nn::KvLayout> layout,
                           residency::KvPool& pool, std::function<void()> wake)
    : even_if_slower_(options.even_if_slower),
      model_(model),
      layout_(std::move(layout)),
      pool_(pool),
      store_(options),
      pace_name_("token_seconds " + model) {
  token_seconds_ = store_.number(pace_name_);
  read_rate_ = store_.number(kReadRate);
  reader_ = std::make_unique<PrefixReader>(store_, std::move(wake));
  reader_->set_bytes_per_second(read_rate_);
  writer_ = std::make_unique<PrefixWriter>(
      store_, layout_, PrefixWriter::Identity{model, std::move(model_name), options.named_salt},
      [this](Bytes bytes) {
        return even_if_slower_ || is_faster_to_read(rates(), kKvBlockTokens, bytes);
      });
}

DiskPrefixes::~DiskPrefixes() {
  close();
  flush(kLastWrites);
  writer_.reset();
  if (token_seconds_ > 0) store_.set_number(pace_name_, token_seconds_);
  if (read_rate_ > 0) store_.set_number(kReadRate, read_rate_);
}

void DiskPrefixes::close() {
  if (reader_ == nullptr) return;
  read_rate_ = reader_->bytes_per_second();
  reader_.reset();
}

void DiskPrefixes::flush(std::chrono::milliseconds most) { writer_->flush(most); }

void DiskPrefixes::set_token_seconds(double seconds) {
  if (seconds > 0) token_seconds_ = seconds;
}

RestoreRates DiskPrefixes::rates() const { return {token_seconds_, read_rate_}; }

DiskCacheReport DiskPrefixes::report() const {
  const PrefixWriter::Written written = writer_->written();
  return {.restored_tokens = restored_tokens_,
          .restored = {restored_bytes_},
          .written = written.bytes,
          .blocks_written = written.blocks,
          .blocks_refused = written.refused,
          .token_seconds = token_seconds_,
          .bytes_per_second = read_rate_};
}

void DiskPrefixes::keep(std::string_view salt, std::span<const int32_t> tokens,
                        const nn::KvCache& kv) {
  const int64_t n = std::min(kv.length(), std::ssize(tokens)) / kKvBlockTokens;
  if (n == 0) return;
  PrefixWriter::Kept kept{.salt = std::string(salt), .tokens = {}, .blocks = {}, .used_at = 0};
  kept.used_at = PromptStore::time_of_use();
  kept.tokens.assign(tokens.begin(), tokens.begin() + n * kKvBlockTokens);
  for (int64_t i = 0; i < n; ++i) {
    const nn::KvStretch stretch = kv.stretch(i);
    kept.blocks.emplace_back(stretch.begin(), stretch.end());
  }
  writer_->keep(std::move(kept));
}

/// The stretches of `tokens`, as far as there is something of them, here or in memory.
std::vector<StoredStretch> DiskPrefixes::look_up(std::string_view salt,
                                                 std::span<const int32_t> tokens, size_t n_held,
                                                 std::vector<std::string>& chains) {
  std::vector<StoredStretch> stored;
  std::string chain = first_chain(model_, salt);
  for (size_t i = 0; (i + 1) * kKvBlockTokens <= tokens.size(); ++i) {
    const auto of = tokens.subspan(i * kKvBlockTokens, kKvBlockTokens);
    chain = next_chain(chain, of);
    auto found = store_.find(chain, of);
    const auto may_lack = [&](const nn::KvLayout::Group& group) {  // windows have passed it
      return group.passes(static_cast<int64_t>(i));
    };
    if (!found && i >= n_held && !std::ranges::all_of(layout_->groups, may_lack)) break;
    stored.push_back(found ? std::move(*found) : StoredStretch{});
    chains.push_back(chain);
  }
  return stored;
}

Presence DiskPrefixes::presence_of(const std::vector<StoredStretch>& stored) const {
  const auto n_groups = static_cast<int64_t>(layout_->groups.size());
  Presence presence;
  for (const StoredStretch& stretch : stored) {
    std::vector<bool> there(layout_->groups.size());
    for (const StoredBlock& block : stretch.blocks) {
      if (block.part < 0 || block.part >= n_groups || !CacheFolder::is_block_name(block.name))
        continue;
      const auto group = static_cast<size_t>(block.part);
      there[group] = block.bytes == layout_->groups[group].block_bytes.count;
    }
    presence.push_back(std::move(there));
  }
  return presence;
}

bool DiskPrefixes::is_worth_it(int64_t tokens, Bytes bytes) {
  read_rate_ = reader_->bytes_per_second();
  if (even_if_slower_ || is_faster_to_read(rates(), tokens, bytes)) return true;
  read_rate_ = read_rate_ * kDoubt;
  reader_->set_bytes_per_second(read_rate_);
  return false;
}

std::optional<residency::KvReservation> DiskPrefixes::reserve(const RestorePlan& plan,
                                                              const MakeRoom& make_room) {
  std::vector<residency::KvNeed> needs;
  for (const auto& group : layout_->groups) needs.push_back({group.block_bytes, 0});
  for (const RestorePlan::Block& block : plan.blocks) ++needs[block.group].count;
  if (auto blocks = pool_.reserve(needs)) return blocks;
  const Bytes lacking = difference(plan.bytes, difference(pool_.cap(), pool_.in_use()));
  if (!make_room(lacking)) return std::nullopt;
  return pool_.reserve(needs);
}

std::shared_ptr<PrefixRead> DiskPrefixes::read(std::string_view salt,
                                               std::span<const int32_t> tokens, Held held,
                                               const MakeRoom& make_room) {
  if (reader_ == nullptr || std::ssize(tokens) / kKvBlockTokens * kKvBlockTokens <= held.length)
    return nullptr;
  std::vector<std::string> chains;
  const auto stored = look_up(salt, tokens, held.stretches.size(), chains);
  Presence in_memory;
  for (const nn::KvStretch& stretch : held.stretches) {
    std::vector<bool> there;
    for (const auto& block : stretch) there.push_back(block != nullptr);
    in_memory.push_back(std::move(there));
  }
  const auto plan = plan_restore(*layout_, in_memory, presence_of(stored), held.length);
  if (!plan) return nullptr;
  const int64_t gained = plan->n_stretches * kKvBlockTokens - held.length;
  if (!is_worth_it(gained, plan->bytes)) return nullptr;
  auto reserved = reserve(*plan, make_room);
  if (!reserved) return nullptr;
  std::vector<PrefixRead::Block> blocks;
  for (const auto& [stretch, group] : plan->blocks) {
    const auto part = static_cast<int64_t>(group);
    const auto& of = stored[stretch].blocks;
    blocks.push_back({.stretch = stretch,
                      .group = group,
                      .chain = chains[stretch],
                      .stored = *std::ranges::find(of, part, &StoredBlock::part),
                      .memory = reserved->take(layout_->groups[group].block_bytes,
                                               residency::KvBlock::kSealed)});
  }
  held.stretches.resize(static_cast<size_t>(plan->n_stretches),
                        nn::KvStretch(layout_->groups.size()));
  restored_tokens_ += gained;
  restored_bytes_ += plan->bytes.count;
  auto read = std::make_shared<PrefixRead>(std::move(held.stretches), std::move(blocks));
  reader_->submit(read);
  return read;
}

}  // namespace sluice::engine
