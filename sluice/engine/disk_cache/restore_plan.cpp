#include "sluice/engine/disk_cache/restore_plan.h"

#include <algorithm>

namespace sluice::engine {
namespace {

using kernels::kKvBlockTokens;

bool is_in(const Presence& presence, size_t stretch, size_t group) {
  return stretch < presence.size() && presence[stretch][group];
}

/// What n stretches need, if all of it is there.
std::optional<RestorePlan> plan_for(int64_t n, const nn::KvLayout& layout, const Presence& held,
                                    const Presence& stored) {
  RestorePlan plan{.n_stretches = n, .blocks = {}, .bytes = {}};
  for (size_t g = 0; g < layout.groups.size(); ++g) {
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      const bool is_needed = layout.groups[g].needs(static_cast<int64_t>(i), n * kKvBlockTokens);
      if (!is_needed || is_in(held, i, g)) continue;
      if (!is_in(stored, i, g)) return std::nullopt;
      plan.blocks.push_back({i, g});
      plan.bytes = plan.bytes + layout.groups[g].block_bytes;
    }
  }
  return plan;
}

}  // namespace

std::optional<RestorePlan> plan_restore(const nn::KvLayout& layout, const Presence& held,
                                        const Presence& stored, int64_t held_length) {
  const auto longest = static_cast<int64_t>(std::max(held.size(), stored.size()));
  for (int64_t n = longest; n * kKvBlockTokens > held_length; --n) {
    if (auto plan = plan_for(n, layout, held, stored)) return plan;
  }
  return std::nullopt;
}

bool is_faster_to_read(const RestoreRates& rates, int64_t tokens, Bytes bytes) {
  if (rates.token_seconds <= 0 || rates.bytes_per_second <= 0) return true;
  return static_cast<double>(bytes.count) / rates.bytes_per_second <
         static_cast<double>(tokens) * rates.token_seconds;
}

}  // namespace sluice::engine
