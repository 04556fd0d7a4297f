#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sluice/engine/disk_cache/cache_folder.h"
#include "sluice/engine/disk_cache/cache_index.h"
#include "sluice/engine/disk_cache/options.h"

namespace sluice::engine {

/// Blocks on disk: the index, the files, and how much of both there may be. What goes wrong harms nobody: it is told in
/// one line, a damaged file goes into quarantine, an index that cannot be read with it, a disk that cannot be written
/// is left alone for a while. Any thread may call all but find(), which is one thread's.
class PromptStore {
 public:
  /// Throws Error(io) where the folder cannot be used at all.
  explicit PromptStore(DiskCacheOptions options);
  ~PromptStore();
  PromptStore(const PromptStore&) = delete;
  PromptStore& operator=(const PromptStore&) = delete;

  /// What is there of a stretch. It does not wait for those who write.
  std::optional<StoredStretch> find(std::string_view chain, std::span<const int32_t> tokens);
  /// The same, for who writes: the stretch counts as used then.
  std::optional<StoredStretch> find_and_use(const StretchKey& stretch);
  /// The time now as uses are counted, in steps of ten minutes, so that few are written.
  static int64_t time_of_use();

  /// A block's bytes while they are written.
  struct Source {
    std::span<const std::byte> bytes;
    std::function<bool()> may_go_on;  ///< asked before each megabyte
    std::function<void()> on_read;    ///< the bytes are not needed any more
  };
  enum class Put {
    done,     ///< it is there, by this or another process
    stopped,  ///< may_go_on() said no; nothing is left of it
    refused,  ///< there is no room, today's writes are used up, or the disk failed
  };
  Put put(const StretchKey& stretch, int64_t part, const Source& source);

  std::filesystem::path file_of(const StoredBlock& block) const {
    return folder_.block(block.name);
  }
  /// Whether bytes that were read are what was written for these tokens.
  static bool fits(std::string_view chain, const StoredBlock& block,
                   std::span<const std::byte> bytes);
  /// A file that is not what it was, or not there: it is not found again.
  void on_damage(const StoredBlock& block, std::string_view what);

  void log(std::string_view line) const;

  /// Removes what nobody knows of, and what is above the cap.
  void sweep();

  double number(std::string_view name);
  void set_number(std::string_view name, double value);

  struct Summary {
    std::vector<CacheEntry> entries;
    Bytes bytes, cap, written_today;
  };
  Summary summary();

  struct Removed {
    int64_t files = 0;
    Bytes bytes;
  };
  /// What has these labels; with none: all, and what is in quarantine.
  Removed clear(std::span<const std::string> labels);

  struct Verdict {
    int64_t blocks = 0, damaged = 0;
    Bytes bytes;
    std::string index;  ///< what is wrong with it; empty: nothing
  };
  /// Reads every file; damaged ones go into quarantine.
  Verdict verify();

 private:
  template <typename Result, typename Work>
  Result guarded(Result otherwise, Work&& work);
  void open_index();
  void on_failure(const Error& error);
  bool has_room(Bytes wanted);
  void shrink_to(Bytes most);
  Bytes cap();

  const DiskCacheOptions options_;
  CacheFolder folder_;
  std::unique_ptr<CacheIndex> lookups_;  // find()'s
  std::mutex mutex_;                     // guards what follows
  std::unique_ptr<CacheIndex>
      index_;                // null once it was damaged: till the next start there is none
  int64_t quiet_until_ = 0;  // seconds since 1970: the disk failed
};

}  // namespace sluice::engine
