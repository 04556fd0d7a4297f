#include "sluice/residency/experts/policy.h"

#include <array>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/residency/experts/scored_policy.h"

namespace sluice::residency {
namespace {

constexpr std::array<std::pair<PolicyKind, std::string_view>, 5> kNames = {{
    {PolicyKind::lru, "lru"},
    {PolicyKind::lfu, "lfu"},
    {PolicyKind::lcp, "lcp"},
    {PolicyKind::least_stale, "least-stale"},
    {PolicyKind::s3_fifo, "s3-fifo"},
}};

}  // namespace

std::string_view to_string(PolicyKind kind) { return kNames[static_cast<size_t>(kind)].second; }

PolicyKind parse_policy(std::string_view name) {
  for (const auto& [kind, spelling] : kNames) {
    if (spelling == name) return kind;
  }
  fail(ErrorKind::bad_request, "expert policy '{}': wanted lru, lfu, lcp, least-stale or s3-fifo",
       name);
}

std::unique_ptr<EvictionPolicy> make_policy(PolicyKind kind, const PoolShape& shape) {
  switch (kind) {
    case PolicyKind::lru:
      return std::make_unique<ScoredPolicy<Recency>>(shape);
    case PolicyKind::lfu:
      return std::make_unique<ScoredPolicy<DecayedFrequency>>(shape);
    case PolicyKind::lcp:
      return std::make_unique<ScoredPolicy<LeastCachePriority>>(shape);
    case PolicyKind::least_stale:
      return std::make_unique<ScoredPolicy<LeastStale>>(shape);
    case PolicyKind::s3_fifo:
      return make_s3_fifo(shape);
  }
  fail(ErrorKind::internal, "no policy {}", static_cast<int>(kind));
}

}  // namespace sluice::residency
