#include "sluice/residency/dense/dense_store.h"

#include <algorithm>
#include <tuple>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

using Stages = std::vector<std::vector<DensePart>>;

/// Memory of all parts that stay.
Bytes resident_size(const Stages& stages) {
  Bytes sum;
  for (const auto& stage : stages) {
    for (const DensePart& part : stage) {
      if (!part.streamed) sum = sum + PlacedExtents(part.extents).bytes();
    }
  }
  return sum;
}

/// Memory of the stage that streams most.
Bytes slab_size(const Stages& stages) {
  Bytes most;
  for (const auto& stage : stages) {
    Bytes sum;
    for (const DensePart& part : stage) {
      if (part.streamed) sum = sum + PlacedExtents(part.extents).bytes();
    }
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace

DenseStore::DenseStore(io::AsyncReader& reader, Stages stages)
    : reader_(reader),
      resident_(resident_size(stages)),
      slab_bytes_(slab_size(stages)),
      slabs_({2 * slab_bytes_.count}) {
  std::vector<io::ReadRequest> reads;
  uint64_t resident = 0;
  for (const auto& stage : stages) {
    Turn turn;
    uint64_t streamed = 0;
    for (const DensePart& part : stage) {
      const PlacedExtents placed(part.extents);
      uint64_t& start = part.streamed ? streamed : resident;
      if (part.streamed) turn.parts.emplace_back();
      for (const io::Extent& extent : part.extents) {
        ranges_.push_back({extent.file, extent.offset, extent.offset + extent.bytes,
                           start + placed.position(extent.file, extent.offset),
                           part.streamed ? static_cast<int>(turns_.size()) : -1,
                           part.streamed ? turn.parts.size() - 1 : 0});
      }
      for (const PlacedExtents::Run& run : placed.runs()) {
        const uint64_t at = start + run.at + run.span.skip;
        const io::ReadRequest read{run.wanted.file, run.wanted.offset, run.wanted.bytes,
                                   resident_.data() + at, io::Priority::demand};
        if (part.streamed) {
          turn.parts.back().reads.push_back(read);
          turn.parts.back().at.push_back(at);
        } else {
          reads.push_back(read);
        }
      }
      start += placed.bytes().count;
    }
    if (!turn.parts.empty()) turns_.push_back(std::move(turn));
  }
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
    return std::tie(a.file, a.begin) < std::tie(b.file, b.begin);
  });
  reader_.wait(reader_.submit(reads));
  if (!turns_.empty()) move_to(0);
}

DenseStore::~DenseStore() {
  for (size_t turn = 0; turn < turns_.size(); ++turn) drop(turn);
}

const DenseStore::Range* DenseStore::find(size_t file, uint64_t offset) const {
  const auto after = std::upper_bound(
      ranges_.begin(), ranges_.end(), std::pair(file, offset),
      [](const auto& key, const Range& r) { return key < std::pair(r.file, r.begin); });
  if (after == ranges_.begin()) return nullptr;
  const Range& range = *std::prev(after);
  return range.file == file && offset < range.end ? &range : nullptr;
}

const std::byte* DenseStore::resident_address(size_t file, uint64_t offset) const {
  const Range* range = find(file, offset);
  return range == nullptr || range->turn >= 0
             ? nullptr
             : resident_.data() + range->at + (offset - range->begin);
}

const std::byte* DenseStore::address(size_t file, uint64_t offset) {
  const Range* range = find(file, offset);
  if (range == nullptr)
    fail(ErrorKind::internal, "byte {} of file {} is no weight's", offset, file);
  const uint64_t at = range->at + (offset - range->begin);
  if (range->turn < 0) return resident_.data() + at;
  const auto turn = static_cast<size_t>(range->turn);
  if (turn != current_ || turns_[turn].slab < 0) move_to(turn);
  Turn& held = turns_[turn];
  try {
    reader_.wait(held.parts[range->part].tickets);
  } catch (const Error&) {
    // It may have been in another request's time that the disk failed.
    reload(turn);
  }
  return slabs_.data() + static_cast<uint64_t>(held.slab) * slab_bytes_.count + at;
}

/// Reads the turn that computes once more, all of it: other parts may be in use.
void DenseStore::reload(size_t turn) {
  drop(turn);
  move_to(turn);
  try {
    for (const Turn::Part& part : turns_[turn].parts) reader_.wait(part.tickets);
  } catch (...) {
    drop(turn);
    throw;
  }
}

/// Makes `turn` the one that computes, and has the one after it read into the slab that becomes free.
void DenseStore::move_to(size_t turn) {
  current_ = turn;
  const size_t next = (turn + 1) % turns_.size();
  for (size_t other = 0; other < turns_.size(); ++other) {
    if (other != turn && other != next) drop(other);
  }
  if (turns_[turn].slab < 0) load(turn, turns_[next].slab == 0 ? 1 : 0);
  if (turns_[next].slab < 0) load(next, 1 - turns_[turn].slab);
}

void DenseStore::load(size_t turn, int slab) {
  Turn& loaded = turns_[turn];
  loaded.slab = slab;
  std::vector<io::ReadRequest> reads;
  for (Turn::Part& part : loaded.parts) {
    for (size_t i = 0; i < part.reads.size(); ++i) {
      part.reads[i].destination =
          slabs_.data() + static_cast<uint64_t>(slab) * slab_bytes_.count + part.at[i];
      part.reads[i].priority = turn == current_ ? io::Priority::demand : io::Priority::prefetch;
      reads.push_back(part.reads[i]);
    }
  }
  std::vector<io::Ticket> tickets = reader_.submit(reads);
  auto ticket = tickets.begin();
  for (Turn::Part& part : loaded.parts) {
    const auto end = ticket + static_cast<std::ptrdiff_t>(part.reads.size());
    part.tickets.assign(ticket, end);
    ticket = end;
  }
}

/// Gives up a turn's slab, once nothing writes to it any more.
void DenseStore::drop(size_t turn) {
  Turn& dropped = turns_[turn];
  if (dropped.slab < 0) return;
  for (Turn::Part& part : dropped.parts) {
    reader_.abandon(part.tickets);
    part.tickets.clear();
  }
  dropped.slab = -1;
}

}  // namespace sluice::residency
