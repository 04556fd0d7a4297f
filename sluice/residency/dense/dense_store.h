#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/io/reads/async_reader.h"
#include "sluice/residency/machine/arena.h"
#include "sluice/residency/placed_extents.h"

namespace sluice::residency {

/// Bytes of the files that are in memory for good, or read for every token.
struct DensePart {
  std::vector<io::Extent> extents;
  bool streamed = false;
};

/// The parts that every token needs, by the stages (layers, then blocks of the head) in which it needs them.
/// Some stay in one arena. The rest are read into two slabs by turns: while one stage computes from its slab,
/// the next stage's parts are read into the other.
///
/// One thread asks, stage by stage, in the order given here, around and around; another order is right too,
/// but then it waits for its reads.
class DenseStore {
 public:
  /// Reads what stays. `reader` must outlive the store. Throws Error(io) and Error(over_budget).
  DenseStore(io::AsyncReader& reader, std::vector<std::vector<DensePart>> stages);
  /// Waits for what is being read into the slabs.
  ~DenseStore();
  DenseStore(const DenseStore&) = delete;
  DenseStore& operator=(const DenseStore&) = delete;

  /// Where a byte of a part is, waiting for its read where it is streamed. Valid until bytes of another stage
  /// are asked for. What could not be read is read once more, then throws Error(io):
  /// asking again tries again; Error(internal) for bytes of no part.
  const std::byte* address(size_t file, uint64_t offset);

  /// The same for bytes that are in memory for good; null for others.
  const std::byte* resident_address(size_t file, uint64_t offset) const;

  /// All that is in memory for good.
  std::span<const std::byte> resident() const { return {resident_.data(), resident_.size().count}; }

 private:
  /// A run of bytes and where it is: in the arena of what stays, or in its stage's slab.
  struct Range {
    size_t file = 0;
    uint64_t begin = 0, end = 0;
    uint64_t at = 0;  // of `begin`
    int turn = -1;    // index into turns_; -1: resident
    size_t part = 0;  // of the turn
  };
  /// A stage that is streamed at least in part.
  struct Turn {
    struct Part {
      std::vector<io::ReadRequest>
          reads;  // destinations are offsets into a slab until they are submitted
      std::vector<uint64_t> at;
      std::vector<io::Ticket> tickets;
    };
    std::vector<Part> parts;
    int slab = -1;  // that holds it, or will; -1: none
  };

  const Range* find(size_t file, uint64_t offset) const;
  void move_to(size_t turn);
  void load(size_t turn, int slab);
  void drop(size_t turn);
  void reload(size_t turn);

  io::AsyncReader& reader_;
  std::vector<Range> ranges_;  // by file and place
  std::vector<Turn> turns_;
  Arena resident_;
  Bytes slab_bytes_;
  Arena slabs_;
  size_t current_ = 0;  // the turn that computes
};

}  // namespace sluice::residency
