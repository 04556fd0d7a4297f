#include "sluice/models/weight_names.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace sluice::models {
namespace {

using nn::WeightTable;

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const bool begins = from.starts_with('^');
  if (begins) from.remove_prefix(1);
  if (const size_t at = text.find(from); begins ? at == 0 : at != std::string::npos)
    text.replace(at, from.size(), to);
  return text;
}

/// The text part of a model that also sees: "language_model.model.layers", as published or as
/// mlx-lm saves it, or "model.language_model.layers", as transformers 5 does.
std::string without_wrapper(const std::string& name) {
  constexpr std::string_view kOuter = "language_model.", kInner = "model.language_model.";
  if (name.starts_with(kOuter)) return name.substr(kOuter.size());
  if (name.starts_with(kInner)) return "model." + name.substr(kInner.size());
  // Embedding models are published without what would give logits, and without the name above.
  for (const std::string_view part : {"layers.", "embed_tokens.", "norm."}) {
    if (name.starts_with(part)) return "model." + name;
  }
  return name;
}

constexpr TensorName kCommonNames[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_qkv", "self_attn.qkv_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_sinks.weight", "self_attn.sinks"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate_exps", "mlp.experts.gate_proj"},
    {"ffn_up_exps", "mlp.experts.up_proj"},
    {"ffn_down_exps", "mlp.experts.down_proj"},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
    {"nextn.enorm", "enorm"},
    {"nextn.hnorm", "hnorm"},
    {"nextn.eh_proj", "eh_proj"},
    {"nextn.embed_tokens", "embed_tokens"},
    {"nextn.shared_head_norm", "shared_head.norm"},
    {"nextn.shared_head_head", "shared_head.head"},
    {"ssm_in", "mamba.in_proj"},
    {"ssm_conv1d", "mamba.conv1d"},
    {"ssm_x", "mamba.x_proj"},
    {"ssm_dt", "mamba.dt_proj"},
    {"ssm_dt_norm", "mamba.dt_layernorm"},
    {"ssm_b_norm", "mamba.b_layernorm"},
    {"ssm_c_norm", "mamba.c_layernorm"},
    {"ssm_a", "mamba.A"},
    {"ssm_d", "mamba.D"},
    {"ssm_norm", "mamba.norm"},
    {"ssm_out", "mamba.out_proj"},
};

constexpr TensorName kTopNames[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};

std::optional<std::string> find_name(std::span<const TensorName> names, std::string_view theirs) {
  const auto it = std::ranges::find(names, theirs, &TensorName::theirs);
  return it == names.end() ? std::nullopt : std::optional<std::string>(it->ours);
}

/// A name within a layer, "attn_q.weight", as ours; nothing where it is unknown.
std::optional<std::string> layer_name(const std::string& name,
                                      std::span<const TensorName> family_names) {
  const std::span<const TensorName> common(kCommonNames);
  if (const auto whole = find_name(family_names, name)) return whole;
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return find_name(common, name);
  std::string module = name.substr(0, dot), expert;
  for (const auto names : {family_names, common}) {
    if (const auto ours = find_name(names, module)) return *ours + name.substr(dot);
  }
  // Old Mixtral files list experts one by one: "ffn_gate.5".
  if (const size_t number = module.find('.'); number != std::string::npos) {
    expert = module.substr(number + 1);
    module.resize(number);
  }
  for (const auto names : {family_names, common}) {
    if (const auto whole = find_name(names, name)) return whole;  // its ending is renamed too
    if (const auto ours = find_name(names, module)) {
      const std::string path =
          expert.empty() ? *ours : replaced(*ours, "mlp.", "mlp.experts." + expert + ".");
      return path + name.substr(dot);
    }
  }
  return std::nullopt;
}

/// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight". Names nobody asks for stay as
/// they are.
std::string gguf_name(const std::string& name, std::span<const TensorName> family_names) {
  const size_t end = name.rfind('.');
  if (end == std::string::npos) return name;
  for (const auto names : {family_names, std::span<const TensorName>(kTopNames)}) {
    if (const auto top = find_name(names, name.substr(0, end))) return *top + name.substr(end);
  }
  if (!name.starts_with("blk.")) return name;
  const size_t dot = name.find('.', 4);
  const auto ours = layer_name(name.substr(dot + 1), family_names);
  return ours ? "model.layers." + name.substr(4, dot - 4) + "." + *ours : name;
}

/// Of two common names for the same, the later one; the earlier where a family means it.
std::optional<std::string> their_name(std::span<const TensorName> family_names,
                                      std::span<const TensorName> common, std::string_view ours,
                                      bool earlier) {
  const auto is_it = [&](const TensorName& name) { return name.ours == ours; };
  if (const auto it = std::ranges::find_if(family_names, is_it); it != family_names.end())
    return std::string(it->theirs);
  std::optional<std::string> found;
  for (const TensorName& name : common) {
    const bool means_other = find_name(family_names, name.theirs).has_value();
    if (is_it(name) && !means_other && !(found && earlier)) found = name.theirs;
  }
  return found;
}

}  // namespace

std::optional<std::string> gguf_name_of(std::string_view ours,
                                        std::span<const TensorName> family_names,
                                        bool norms_after) {
  constexpr std::string_view kLayers = "model.layers.";
  std::string block;
  std::span<const TensorName> common = kTopNames;
  if (ours.starts_with(kLayers)) {
    const size_t dot = ours.find('.', kLayers.size());
    if (dot == std::string_view::npos) return std::nullopt;
    block = "blk." + std::string(ours.substr(kLayers.size(), dot - kLayers.size())) + ".";
    ours.remove_prefix(dot + 1);
    common = kCommonNames;
  }
  if (const auto whole = their_name(family_names, common, ours, norms_after)) return block + *whole;
  const size_t end = ours.rfind('.');
  if (end == std::string_view::npos) return std::nullopt;
  const auto module = their_name(family_names, common, ours.substr(0, end), norms_after);
  return module ? std::optional(block + *module + std::string(ours.substr(end))) : std::nullopt;
}

WeightTable name_safetensors(const residency::WeightStore& store,
                             std::span<const TensorName> family_names) {
  WeightTable table(store);
  for (const auto& [name, tensor] : store.index().tensors) {
    std::string ours = replaced(without_wrapper(name), ".switch_mlp.", ".experts.");
    for (const TensorName& pair : family_names)
      ours = replaced(std::move(ours), pair.theirs, pair.ours);
    table.add(std::move(ours), tensor);
  }
  return table;
}

WeightTable name_gguf(const residency::WeightStore& store,
                      std::span<const TensorName> family_names) {
  WeightTable table(store);
  for (const auto& [name, tensor] : store.index().tensors)
    table.add(gguf_name(name, family_names), tensor);
  return table;
}

}  // namespace sluice::models
