#include "sluice/cli/residency_report.h"

#include <fmt/format.h>

#include "sluice/engine/residency_json.h"

namespace sluice::cli {
namespace {

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

void add_arithmetic(nlohmann::json& result, const engine::Engine& engine) {
  result["activations"] = engine.activations();
  result["lossy"] = lossy_json(engine);
  result["context"] = {{"tokens", engine.context()},
                       {"trained", engine.config().max_position_embeddings}};
}

nlohmann::json lossy_json(const engine::Engine& engine) {
  const engine::EngineOptions& o = engine.options();
  nlohmann::json json;  // null
  if (engine.has_lossy_kv()) json["kv_type"] = kv_type_name(engine.config().kv.type);
  if (const nlohmann::json bits = engine::kv_bits_json(engine.config().kv); !bits.is_null())
    json["kv_bits"] = bits;
  if (engine.config().kv.state_type != kernels::KvType::f32)
    json["state_type"] = kv_type_name(engine.config().kv.state_type);
  if (const int64_t size = engine.config().kv.max_size; size > 0) json["max_kv_size"] = size;
  if (o.snap_kv > 0) json["snap_kv"] = o.snap_kv;
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
