#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/base/error.h"
#include "sluice/io/reads/scratch_file.h"

namespace sluice::residency {

/// Where blocks of keys and values go that memory has no room for.
struct KvSpillOptions {
  static constexpr Bytes kUsualLimit{20'000'000'000};

  std::filesystem::path folder = {};  ///< empty: nowhere
  Bytes limit = kUsualLimit;          ///< most that is written, all in all
  Bytes keep_free{2'000'000'000};     ///< of the file system, for others
  /// In the file at once: what is known of each is in memory.
  uint64_t most_blocks = std::numeric_limits<uint64_t>::max();
  /// For tests: may change what was read, before it is checked.
  std::function<void(std::span<std::byte>)> tamper = {};
};

/// Spilled bytes cannot be had back: an error of the sequences that need them, and of no others.
class SpillError : public Error {
 public:
  explicit SpillError(const std::string& message) : Error(ErrorKind::io, message) {}
};

/// Bytes of a block that are read together: a layer's.
struct KvPart {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

struct KvSpillReport {
  Bytes limit, written, read;
  Bytes held;  ///< of blocks that are in the file now
};

/// A file with blocks in it, each written once and checked part by part when it is read: by GMAC, with a key that is made of a
/// secret of this process, the block's number and the part's. Thread-safe. Outlives what it stored.
class KvSpill {
 public:
  /// A block in the file. Its place is free again when this goes.
  class Stored {
   public:
    Stored(KvSpill& spill, uint64_t offset, uint64_t bytes)
        : spill_(spill), offset_(offset), bytes_(bytes) {}
    ~Stored() { spill_.free(offset_, bytes_); }
    Stored(const Stored&) = delete;
    Stored& operator=(const Stored&) = delete;

    size_t n_parts() const { return parts_.size(); }
    /// Memory that reading a part takes, whole pages around it.
    Bytes room(size_t part) const;
    /// Whether reading it failed once.
    bool is_lost() const { return lost_; }

   private:
    friend class KvSpill;
    using Tag = std::array<char, 16>;
    KvSpill& spill_;
    uint64_t offset_, bytes_;
    uint64_t number_ = 0;
    std::vector<KvPart> parts_;
    std::vector<Tag> tags_;
    mutable std::atomic<bool> lost_ = false;
  };

  /// Throws Error(bad_request), Error(io) for a folder that is none to write to.
  explicit KvSpill(KvSpillOptions options);

  /// block: page-aligned, whole pages. Null when it would be written past the limit or onto a full disk, or cannot be
  /// written: why_not() says it.
  std::shared_ptr<const Stored> write(std::span<const std::byte> block,
                                      std::span<const KvPart> parts);
  std::string why_not() const;
  /// What is only kept in case somebody asks for it may take half of what may be written, and half of the places; without
  /// the other half a sequence could not go on. Whether there is some left for it.
  bool may_write_unused() const;
  bool has_place_for_unused() const;

  /// A part, into page-aligned memory of room(part) bytes. Returns where in it the part begins. Throws SpillError.
  const std::byte* read(const Stored& stored, size_t part, std::byte* into);
  /// All of a block, into page-aligned memory of its size. Throws SpillError.
  void read(const Stored& stored, std::span<std::byte> into);

  KvSpillReport report() const;

 private:
  uint64_t take(uint64_t bytes);
  void free(uint64_t offset, uint64_t bytes) noexcept;
  std::string refusal(uint64_t bytes) const;
  Stored::Tag tag_of(uint64_t number, size_t part, std::span<const std::byte> bytes) const;
  void load(const Stored& stored, uint64_t offset, std::span<std::byte> into);
  void check(const Stored& stored, size_t part, const std::byte* bytes) const;
  [[noreturn]] void lose(const Stored& stored, const std::string& why) const;

  const KvSpillOptions options_;
  const io::ScratchFile file_;
  std::string secret_;

  mutable std::mutex mutex_;                          // guards what follows
  std::map<uint64_t, std::vector<uint64_t>> places_;  // free ones, by size
  uint64_t end_ = 0, last_number_ = 0;
  uint64_t written_ = 0, read_ = 0, held_ = 0, n_blocks_ = 0;
  std::string why_not_;
};

}  // namespace sluice::residency
