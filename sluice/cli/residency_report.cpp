#include "sluice/cli/residency_report.h"

#include <fmt/format.h>

namespace sluice::cli {
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

std::string_view kv_type_name(kernels::KvType type) {
  switch (type) {
    case kernels::KvType::f32:
      return "f32";
    case kernels::KvType::f16:
      return "f16";
    case kernels::KvType::bf16:
      return "bf16";
  }
  return "";
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

nlohmann::json residency_json(const engine::Engine& engine,
                              const std::optional<residency::StreamStatistics>& streaming) {
  const residency::ResidencyPlan* plan = engine.plan();
  if (plan == nullptr) return nullptr;
  nlohmann::json json = residency_json(*plan, engine.context());
  json["streaming"] = nullptr;
  json["governor"] = nullptr;
  if (streaming) json["streaming"] = to_json(*streaming, engine.disk_bandwidth());
  if (const auto governor = engine.governor()) {
    json["governor"] = {{"expert_bytes", governor->size.count},
                        {"shrinks", governor->shrinks},
                        {"grows", governor->grows},
                        {"reason", governor->reason}};
  }
  return json;
}

void add_arithmetic(nlohmann::json& result, const engine::Engine& engine) {
  result["activations"] = engine.activations();
  result["lossy"] = lossy_json(engine);
  result["context"] = {{"tokens", engine.context()},
                       {"trained", engine.config().max_position_embeddings}};
}

nlohmann::json kv_bits_json(const nn::KvFormat& kv) {
  if (!kv.code) return nullptr;
  return {{"keys", kv.code.key_bits}, {"values", kv.code.value_bits}, {"recent", kv.recent}};
}

nlohmann::json lossy_json(const engine::Engine& engine) {
  const engine::EngineOptions& o = engine.options();
  nlohmann::json json;  // null
  if (engine.has_lossy_kv()) json["kv_type"] = kv_type_name(engine.config().kv.type);
  if (const nlohmann::json bits = kv_bits_json(engine.config().kv); !bits.is_null())
    json["kv_bits"] = bits;
  if (o.load.top_k_experts > 0) json["top_k_experts"] = o.load.top_k_experts;
  if (o.load.adaptive_experts) json["top_k_experts"] = "adaptive";
  if (o.skip_missing_experts) json["on_miss"] = "skip";
  return json;
}

std::string streaming_line(const residency::StreamStatistics& streaming) {
  const residency::SlotStatistics& experts = streaming.experts;
  const bool has_experts = experts.hits + experts.misses + experts.late > 0;
  return fmt::format(
      "{}{:.2f} GB/s from disk, waited {:.0f} % of that time",
      has_experts ? fmt::format("{:.0f} % of experts in memory, ", 100 * streaming.hit_rate()) : "",
      streaming.bytes_per_second() / 1e9, 100 * (1 - streaming.overlap()));
}

}  // namespace sluice::cli
