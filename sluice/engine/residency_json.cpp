#include "sluice/engine/residency_json.h"

namespace sluice::engine {
namespace {

nlohmann::json to_json(const residency::StreamStatistics& s, double disk_bandwidth) {
  return {
      {"bytes_read", s.reads.bytes},
      {"reads", s.reads.pieces},
      {"failed_reads", s.reads.failed},
      {"disk_bytes_per_second", s.bytes_per_second()},
      {"share_of_probe", disk_bandwidth > 0 ? nlohmann::json(s.bytes_per_second() / disk_bandwidth)
                                            : nlohmann::json(nullptr)},
      {"mean_depth", s.reads.mean_depth},
      {"stall_ms", s.reads.waited_seconds * 1e3},
      {"overlap", s.overlap()},
      {"hit_rate", s.hit_rate()},
      {"hits", s.experts.hits},
      {"misses", s.experts.misses},
      {"late_prefetches", s.experts.late},
      {"prefetches", s.experts.prefetched},
      {"wasted_prefetches", s.experts.wasted},
      {"evictions", s.experts.evictions},
      {"skipped_experts", s.experts.skipped},
      {"bytes_awaited", s.awaited().count}};
}

}  // namespace

nlohmann::json residency_json(const residency::ResidencyPlan& plan, int64_t context) {
  return {{"budget", plan.budget.count},
          {"total", plan.total.count},
          {"mapped", plan.mapped},
          {"expert_slots", plan.expert_slots},
          {"per_slot", plan.per_slot.count},
          {"dense_bytes_streamed", plan.dense_bytes_streamed.count},
          {"context", context}};
}

nlohmann::json residency_json(const Engine& engine,
                              const std::optional<residency::StreamStatistics>& streaming) {
  const residency::ResidencyPlan* plan = engine.plan();
  if (plan == nullptr) return nullptr;
  nlohmann::json json = residency_json(*plan, engine.context());
  json["streaming"] = nullptr;
  json["governor"] = nullptr;
  json["spill"] = nullptr;
  if (streaming) json["streaming"] = to_json(*streaming, engine.disk_bandwidth());
  if (const auto governor = engine.governor()) {
    json["governor"] = {{"expert_bytes", governor->size.count},
                        {"shrinks", governor->shrinks},
                        {"grows", governor->grows},
                        {"reason", governor->reason}};
  }
  if (const auto spilled = engine.spilled()) {
    json["spill"] = {{"limit", spilled->limit.count},
                     {"bytes_written", spilled->written.count},
                     {"bytes_read", spilled->read.count},
                     {"bytes_held", spilled->held.count}};
  }
  return json;
}

nlohmann::json kv_bits_json(const nn::KvFormat& kv) {
  if (!kv.code) return nullptr;
  return {{"keys", kv.code.key_bits}, {"values", kv.code.value_bits}, {"recent", kv.recent}};
}

}  // namespace sluice::engine
