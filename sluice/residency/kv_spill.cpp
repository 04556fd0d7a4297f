#include "sluice/residency/kv_spill.h"

#include <algorithm>
#include <random>

#include "sluice/base/digest.h"
#include "sluice/base/gmac.h"
#include "sluice/io/reads/aligned_span.h"

namespace sluice::residency {
namespace {

std::string random_secret() {
  std::random_device random;  // the system's
  std::string secret;
  for (int i = 0; i < 8; ++i) {
    const uint32_t word = random();
    secret.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  return secret;
}

std::string_view bytes_of(const uint64_t& number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

}  // namespace

Bytes KvSpill::Stored::room(size_t part) const {
  return {io::aligned_span(parts_[part].offset, parts_[part].bytes).bytes};
}

KvSpill::KvSpill(KvSpillOptions options)
    : options_(std::move(options)), file_(options_.folder), secret_(random_secret()) {}

KvSpill::Stored::Tag KvSpill::tag_of(uint64_t number, size_t part,
                                     std::span<const std::byte> bytes) const {
  Digest key = Digest::sha256();
  key.update(secret_);
  key.update(bytes_of(number));
  key.update(bytes_of(part));
  Gmac gmac(key.bytes());
  gmac.update(bytes);
  const std::string made = gmac.finish();
  Stored::Tag tag{};
  std::copy_n(made.begin(), std::min(made.size(), tag.size()), tag.begin());
  return tag;
}

/// Why so many bytes are not written now; empty: they are.
std::string KvSpill::refusal(uint64_t bytes) const {
  if (written_ + bytes > options_.limit.count) {
    return fmt::format(
        "{} of keys and values were spilled, and {} is the most; give a larger --spill-limit",
        to_string(Bytes{written_}), to_string(options_.limit));
  }
  if (n_blocks_ >= options_.most_blocks) {
    return fmt::format(
        "{} blocks of keys and values are spilled, and memory was counted for no more; end another "
        "sequence, or give a larger --ctx",
        n_blocks_);
  }
  const Bytes free = file_.free_space();
  if (free < options_.keep_free + Bytes{bytes}) {
    return fmt::format("{} has {} left, of which {} stay free; name another --spill",
                       file_.folder().string(), to_string(free), to_string(options_.keep_free));
  }
  return {};
}

uint64_t KvSpill::take(uint64_t bytes) {
  std::vector<uint64_t>& free = places_[bytes];
  free.reserve(free.size() + 1);  // that giving it back allocates nothing
  if (free.empty()) {
    free.push_back(end_);
    end_ += bytes;
  }
  const uint64_t offset = free.back();
  free.pop_back();
  held_ += bytes;
  ++n_blocks_;
  return offset;
}

void KvSpill::free(uint64_t offset, uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  held_ -= bytes;
  --n_blocks_;
  try {
    places_[bytes].push_back(offset);
  } catch (const std::bad_alloc&) {  // it is not used again
  }
}

std::shared_ptr<const KvSpill::Stored> KvSpill::write(std::span<const std::byte> block,
                                                      std::span<const KvPart> parts) {
  std::shared_ptr<Stored> stored;
  try {
    {
      const std::lock_guard lock(mutex_);
      why_not_ = refusal(block.size());
      if (!why_not_.empty()) return nullptr;
      stored = std::make_shared<Stored>(*this, take(block.size()), block.size());
      stored->number_ = ++last_number_;
      written_ += block.size();  // also what fails may have been written
    }
    stored->parts_.assign(parts.begin(), parts.end());
    for (size_t i = 0; i < parts.size(); ++i)
      stored->tags_.push_back(
          tag_of(stored->number_, i, block.subspan(parts[i].offset, parts[i].bytes)));
    file_.write(stored->offset_, block);
    return stored;
  } catch (const std::exception& error) {
    const std::lock_guard lock(mutex_);
    why_not_ = error.what();
  }
  return nullptr;
}

std::string KvSpill::why_not() const {
  const std::lock_guard lock(mutex_);
  return why_not_;
}

bool KvSpill::may_write_unused() const {
  const std::lock_guard lock(mutex_);
  return written_ < options_.limit.count / 2;
}

bool KvSpill::has_place_for_unused() const {
  const std::lock_guard lock(mutex_);
  return n_blocks_ < options_.most_blocks / 2;
}

void KvSpill::lose(const Stored& stored, const std::string& why) const {
  stored.lost_ = true;
  throw SpillError(why);
}

void KvSpill::load(const Stored& stored, uint64_t offset, std::span<std::byte> into) {
  try {
    file_.read(stored.offset_ + offset, into);
  } catch (const Error& error) {
    lose(stored, error.what());
  }
  if (options_.tamper) options_.tamper(into);
  const std::lock_guard lock(mutex_);
  read_ += into.size();
}

void KvSpill::check(const Stored& stored, size_t part, const std::byte* bytes) const {
  if (tag_of(stored.number_, part, {bytes, stored.parts_[part].bytes}) == stored.tags_[part])
    return;
  lose(stored, fmt::format("{}: keys and values that were spilled there came back damaged; ask "
                           "again, and check the disk",
                           file_.folder().string()));
}

const std::byte* KvSpill::read(const Stored& stored, size_t part, std::byte* into) {
  const io::AlignedSpan span =
      io::aligned_span(stored.parts_[part].offset, stored.parts_[part].bytes);
  load(stored, span.offset, {into, span.bytes});
  check(stored, part, into + span.skip);
  return into + span.skip;
}

void KvSpill::read(const Stored& stored, std::span<std::byte> into) {
  load(stored, 0, into);
  for (size_t i = 0; i < stored.parts_.size(); ++i)
    check(stored, i, into.data() + stored.parts_[i].offset);
}

KvSpillReport KvSpill::report() const {
  const std::lock_guard lock(mutex_);
  return {options_.limit, {written_}, {read_}, {held_}};
}

}  // namespace sluice::residency
