#include "sluice/decode/make_room.h"

#include <map>
#include <set>

#include "sluice/base/error.h"

namespace sluice::decode {

Bytes bytes_of(const std::vector<residency::KvNeed>& needs) {
  Bytes sum;
  for (const residency::KvNeed& need : needs)
    sum.count += need.block.count * static_cast<uint64_t>(need.count);
  return sum;
}

Bytes lacking_for(const std::vector<std::vector<Row>>& passes, const residency::KvPool& pool) {
  struct Appended {
    int64_t n_tokens = 0, n_kept = 0;
  };
  std::map<const nn::KvCache*, Appended> appended;
  for (const auto& pass : passes) {
    for (const Row& row : pass) {
      appended[row.kv].n_tokens += row.n_tokens();
      appended[row.kv].n_kept += row.n_kept;
    }
  }
  Bytes wanted;
  for (const auto& [kv, of] : appended)
    wanted = wanted + bytes_of(kv->needs(of.n_tokens, 0, of.n_kept));
  return difference(wanted, difference(pool.cap(), pool.in_use()));
}

bool spill_for(const std::vector<std::vector<Row>>& passes, residency::KvPool& pool) {
  if (pool.spill() == nullptr) return false;
  std::set<nn::KvCache*> sequences;
  for (const auto& pass : passes) {
    for (const Row& row : pass) sequences.insert(row.kv);
  }
  // Blocks of different sizes: what is free may not be what is wanted.
  bool some = false;
  for (nn::KvCache* const kv : sequences) {
    const Bytes lacking = lacking_for(passes, pool);
    const Bytes wanted = some || lacking.count > 0 ? lacking : Bytes{1};
    some |= kv->spill(wanted, nn::KvCache::Spilled::seen_by_all).count > 0;
  }
  return some;
}

Error with_why_not(const Error& error, const residency::KvPool& pool) {
  const std::string why = pool.spill() == nullptr ? "" : pool.spill()->why_not();
  return why.empty() ? error : Error(error.kind(), fmt::format("{}; {}", error.what(), why));
}

void begin_with_room(Stepper& stepper, const std::vector<std::vector<Row>>& passes) {
  while (true) {
    try {
      return stepper.begin(passes);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::over_budget) throw;
      residency::KvPool& pool = passes[0][0].kv->pool();
      if (!spill_for(passes, pool)) throw with_why_not(error, pool);
    }
  }
}

}  // namespace sluice::decode
