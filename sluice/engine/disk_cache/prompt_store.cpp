#include "sluice/engine/disk_cache/prompt_store.h"

#include <algorithm>
#include <ctime>
#include <fstream>

#include "sluice/base/printable.h"
#include "sluice/engine/disk_cache/block_file.h"
#include "sluice/engine/disk_cache/block_tag.h"

namespace sluice::engine {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr int kBusyMs = 2000;      // for who writes
constexpr int kLookupBusyMs = 10;  // for who has a step to make
constexpr int64_t kQuietSeconds = 300;
constexpr int64_t kUseSeconds = 600;
constexpr int64_t kDaySeconds = 86400;
constexpr std::string_view kCapNumber = "cap";

int64_t now() { return static_cast<int64_t>(std::time(nullptr)); }
int64_t today() { return now() / kDaySeconds; }

/// Whether a file holds just these bytes.
bool is_whole(const std::filesystem::path& file, std::string_view chain, const StoredBlock& block) {
  std::ifstream in(file, std::ios::binary);
  BlockTag tag(chain, static_cast<int>(block.part), block.name);
  std::vector<char> piece(kPiece);
  uint64_t bytes = 0;
  while (in) {
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto n = static_cast<size_t>(in.gcount());
    tag.update(std::as_bytes(std::span(piece).first(n)));
    bytes += n;
  }
  return bytes == block.bytes && tag.finish() == block.tag;
}

}  // namespace

PromptStore::PromptStore(DiskCacheOptions options)
    : options_(std::move(options)), folder_(options_.folder) {
  try {
    open_index();
  } catch (const DatabaseError& error) {
    if (error.why() != DatabaseError::Why::damaged) throw;
    index_.reset();
    folder_.quarantine_index();
    log(fmt::format("disk cache: {}; a new index is begun", error.what()));
    open_index();
  }
  if (options_.cap) set_number(kCapNumber, static_cast<double>(options_.cap->count));
}

PromptStore::~PromptStore() = default;

void PromptStore::open_index() {
  index_ = std::make_unique<CacheIndex>(folder_.index(), kBusyMs);
  lookups_ = std::make_unique<CacheIndex>(folder_.index(), kLookupBusyMs);
}

void PromptStore::log(std::string_view line) const {
  if (options_.log) options_.log(line);
}

/// With the lock. A disk that fails is left alone for a while, a damaged index till the next start.
void PromptStore::on_failure(const Error& error) {
  const auto* const database = dynamic_cast<const DatabaseError*>(&error);
  if (database != nullptr && database->why() == DatabaseError::Why::busy) return;
  if (database != nullptr && database->why() == DatabaseError::Why::damaged) {
    if (index_ == nullptr) return;
    index_.reset();
    folder_.quarantine_index();
    log(fmt::format("disk cache: off until the next start, which begins it anew: {}",
                    error.what()));
    return;
  }
  if (now() >= quiet_until_) {
    log(fmt::format("disk cache: not written for {} minutes: {}", kQuietSeconds / 60,
                    error.what()));
  }
  quiet_until_ = now() + kQuietSeconds;
}

/// Does `work` with the index, under the lock.
template <typename Result, typename Work>
Result PromptStore::guarded(Result otherwise, Work&& work) {
  const std::lock_guard lock(mutex_);
  if (index_ == nullptr) return otherwise;
  try {
    return work(*index_);
  } catch (const Error& error) {
    on_failure(error);
    return otherwise;
  }
}

std::optional<StoredStretch> PromptStore::find(std::string_view chain,
                                               std::span<const int32_t> tokens) {
  if (lookups_ == nullptr) return std::nullopt;
  try {
    return lookups_->find(chain, tokens);
  } catch (const DatabaseError& error) {
    if (error.why() == DatabaseError::Why::busy) return std::nullopt;
    lookups_.reset();
    const std::lock_guard lock(mutex_);
    on_failure(error);
    return std::nullopt;
  }
}

int64_t PromptStore::time_of_use() { return now() / kUseSeconds * kUseSeconds; }

std::optional<StoredStretch> PromptStore::find_and_use(const StretchKey& stretch) {
  return guarded(std::optional<StoredStretch>(), [&](CacheIndex& index) {
    auto found = index.find(stretch.chain, stretch.tokens);
    if (found && found->last_use < stretch.used_at) index.use(found->id, stretch.used_at);
    return found;
  });
}

Bytes PromptStore::cap() {
  const double kept = index_->number(kCapNumber);
  const bool is_size = kept >= 0 && kept < 1e18;
  return kept != 0 && is_size ? Bytes{static_cast<uint64_t>(kept)} : DiskCacheOptions::kUsualCap;
}

void PromptStore::shrink_to(Bytes most) {
  while (index_->bytes() > most) {
    const auto names = index_->remove_oldest();
    if (!names) return;
    for (const std::string& name : *names) folder_.remove(name);
  }
}

bool PromptStore::has_room(Bytes wanted) {
  return guarded(false, [&](CacheIndex& index) {
    if (now() < quiet_until_ || wanted > cap()) return false;
    if (index.written_on(today()) + wanted > options_.daily) return false;
    shrink_to(difference(cap(), wanted));
    return folder_.free_space() >= options_.keep_free + wanted;
  });
}

PromptStore::Put PromptStore::put(const StretchKey& stretch, int64_t part, const Source& source) {
  const Bytes size{source.bytes.size()};
  if (!has_room(size)) return Put::refused;
  StoredBlock block{part, CacheFolder::new_name(), size.count, {}};
  try {
    BlockFile file(folder_.block(block.name));
    BlockTag tag(stretch.chain, static_cast<int>(part), block.name);
    for (size_t at = 0; at < source.bytes.size(); at += kPiece) {
      if (!source.may_go_on()) return Put::stopped;
      const auto piece = source.bytes.subspan(at, std::min(kPiece, source.bytes.size() - at));
      tag.update(piece);
      file.append(piece);
    }
    source.on_read();
    block.tag = tag.finish();
    file.commit();
  } catch (const Error& error) {
    const std::lock_guard lock(mutex_);
    on_failure(error);
    return Put::refused;
  }
  const Put put = guarded(Put::refused, [&](CacheIndex& index) {
    index.add_written(today(), size);
    if (!index.add(stretch, block)) folder_.remove(block.name);  // another process was first
    return Put::done;
  });
  if (put == Put::refused) folder_.remove(block.name);
  return put;
}

bool PromptStore::fits(std::string_view chain, const StoredBlock& block,
                       std::span<const std::byte> bytes) {
  BlockTag tag(chain, static_cast<int>(block.part), block.name);
  tag.update(bytes);
  return tag.finish() == block.tag;
}

void PromptStore::on_damage(const StoredBlock& block, std::string_view what) {
  folder_.quarantine(block.name);
  log(fmt::format("disk cache: {}: {}; it is computed again", printable_name(block.name), what));
  guarded(false, [&](CacheIndex& index) {
    index.remove_block(block.name);
    return true;
  });
}

void PromptStore::sweep() {
  guarded(false, [&](CacheIndex& index) {
    folder_.sweep([&](std::string_view name) { return index.knows(name); });
    shrink_to(cap());
    return true;
  });
}

double PromptStore::number(std::string_view name) {
  return guarded(0.0, [&](CacheIndex& index) { return index.number(name); });
}

void PromptStore::set_number(std::string_view name, double value) {
  guarded(false, [&](CacheIndex& index) {
    index.set_number(name, value);
    return true;
  });
}

PromptStore::Summary PromptStore::summary() {
  return guarded(Summary(), [&](CacheIndex& index) {
    return Summary{index.entries(), index.bytes(), cap(), index.written_on(today())};
  });
}

PromptStore::Removed PromptStore::clear(std::span<const std::string> labels) {
  return guarded(Removed(), [&](CacheIndex& index) {
    const Bytes before = index.bytes();
    const std::vector<std::string> names = index.remove_labels(labels);
    for (const std::string& name : names) folder_.remove(name);
    if (labels.empty()) folder_.clear();
    return Removed{std::ssize(names), difference(before, index.bytes())};
  });
}

PromptStore::Verdict PromptStore::verify() {
  std::vector<std::pair<std::string, StoredBlock>> blocks;
  Verdict verdict;
  verdict.index = guarded(std::string("cannot be read"), [&](CacheIndex& index) {
    index.for_each([&](const std::string& chain, const StoredBlock& block) {
      blocks.emplace_back(chain, block);
    });
    return index.check();
  });
  for (const auto& [chain, block] : blocks) {
    ++verdict.blocks;
    const bool is_named = CacheFolder::is_block_name(block.name);
    if (is_named && is_whole(folder_.block(block.name), chain, block)) {
      verdict.bytes.count += block.bytes;
      continue;
    }
    ++verdict.damaged;
    on_damage(block, "is not what was written");
  }
  sweep();
  return verdict;
}

}  // namespace sluice::engine
