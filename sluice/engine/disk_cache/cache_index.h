#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/engine/disk_cache/sqlite.h"

namespace sluice::engine {

/// A block's file, as the index tells of it: nothing of this is believed before the tag fits.
struct StoredBlock {
  int64_t part = 0;  ///< which group of layers
  std::string name;  ///< of its file
  uint64_t bytes = 0;
  std::string tag;
};

/// 256 tokens, by their chain, with the blocks that are there.
struct StoredStretch {
  int64_t id = 0;
  int64_t last_use = 0;  ///< seconds since 1970
  std::vector<StoredBlock> blocks;
};

/// What a stretch is entered with.
struct StretchKey {
  std::string chain;
  std::string model;            ///< what engine::model_key() gives
  std::string_view model_name;  ///< for people
  std::string_view label;       ///< of the partition, for people
  int64_t position = 0;         ///< of its first token
  int64_t used_at = 0;          ///< seconds since 1970; the same for all stretches of a sequence
  std::span<const int32_t> tokens;
};

/// What `sluice cache list` shows: the stretches of a model in a partition.
struct CacheEntry {
  std::string model, label;
  int64_t stretches = 0, longest = 0;  ///< longest: tokens
  Bytes bytes;
  int64_t last_use = 0;
};

/// Which blocks there are, in an SQLite file that many processes may have open. Belongs to one thread at a time.
/// All throw DatabaseError.
class CacheIndex {
 public:
  CacheIndex(const std::filesystem::path& file, int busy_ms);

  /// With tokens compared.
  std::optional<StoredStretch> find(std::string_view chain, std::span<const int32_t> tokens);
  /// False when the part is there already.
  bool add(const StretchKey& stretch, const StoredBlock& block);
  void use(int64_t stretch, int64_t used_at);

  bool knows(std::string_view name);
  void remove_block(std::string_view name);
  /// Forgets the stretch that was not used for longest and that no other goes on from, and gives its blocks' names;
  /// nullopt when there is none.
  std::optional<std::vector<std::string>> remove_oldest();
  /// Of these labels, or of all when there are none.
  std::vector<std::string> remove_labels(std::span<const std::string> labels);

  Bytes bytes();  ///< of all blocks
  Bytes written_on(int64_t day);
  void add_written(int64_t day, Bytes bytes);
  /// Numbers by name: measured speeds, a cap. 0 where there is none.
  double number(std::string_view name);
  void set_number(std::string_view name, double value);

  std::vector<CacheEntry> entries();
  /// Every block with its chain.
  void for_each(const std::function<void(const std::string& chain, const StoredBlock&)>& tell);
  /// What SQLite finds wrong; empty: nothing.
  std::string check();

 private:
  std::vector<std::string> take_blocks(int64_t stretch);

  Database database_;
  struct Statements;
  struct Free {
    void operator()(Statements* statements) const noexcept;
  };
  std::unique_ptr<Statements, Free> sql_;
};

}  // namespace sluice::engine
