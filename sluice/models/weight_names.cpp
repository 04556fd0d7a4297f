#include "sluice/models/weight_names.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

using io::TensorInfo;
using nn::StoredMatrix;
using nn::WeightTable;

constexpr int64_t kMaxExperts = 65536;

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

/// "model.layers.0.mlp.experts.gate_proj.weight" -> its path and "weight".
std::pair<std::string, std::string> split_last(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? std::pair{std::string(), name}
                                  : std::pair{name.substr(0, dot), name.substr(dot + 1)};
}

/// "...experts.17.gate_proj" -> ("...experts.gate_proj", 17), or nothing when no expert is named.
std::optional<std::pair<std::string, int64_t>> split_expert(const std::string& path) {
  constexpr std::string_view kMark = ".experts.";
  const size_t at = path.find(kMark);
  if (at == std::string::npos) return std::nullopt;
  const char* begin = path.data() + at + kMark.size();
  int64_t expert = 0;
  const auto [end, error] = std::from_chars(begin, path.data() + path.size(), expert);
  if (error != std::errc{} || *end != '.' || expert < 0 || expert >= kMaxExperts)
    return std::nullopt;
  return std::pair{path.substr(0, at + kMark.size()) + std::string(end + 1), expert};
}

/// A slot for expert `expert` of a stack that files list one by one, in any order.
StoredMatrix& expert_slot(WeightTable& table, const std::string& path, int64_t expert) {
  auto& stack = table.experts[path];
  if (stack.size() <= static_cast<size_t>(expert)) stack.resize(static_cast<size_t>(expert) + 1);
  return stack[static_cast<size_t>(expert)];
}

/// One tensor [n_experts, rows, cols...] as a matrix per expert.
void add_stack(WeightTable& table, const std::string& path, const StoredMatrix& whole) {
  const int64_t n = whole.weight->shape[0];
  if (n > kMaxExperts) fail(ErrorKind::bad_model, "{}: {} experts are too many", whole.path, n);
  auto& stack = table.experts[path];
  for (int64_t expert = 0; expert < n; ++expert) {
    stack.push_back(whole);
    stack.back().expert = expert;
  }
}

void add_expert_vectors(WeightTable& table, const std::string& path, const TensorInfo& tensor,
                        int64_t begin, int64_t step) {
  if (tensor.shape[0] > kMaxExperts)
    fail(ErrorKind::bad_model, "{}: {} experts are too many", tensor.name, tensor.shape[0]);
  auto& stack = table.expert_vectors[path];
  for (int64_t expert = 0; expert < tensor.shape[0]; ++expert)
    stack.push_back({&tensor, expert, begin, step});
}

/// Files a tensor pair or triple under its canonical path, by its number of dimensions.
void add_matrix(WeightTable& table, const std::string& path, const StoredMatrix& stored) {
  if (const auto single = split_expert(path)) {
    expert_slot(table, single->first, single->second) = stored;
  } else if (stored.weight->shape.size() >= 3) {
    add_stack(table, path, stored);
  } else {
    table.matrices[path] = stored;
  }
}

/// gpt-oss as published: gate and up rows interleaved in one tensor, MXFP4 blocks and scales apart.
bool add_gpt_oss(WeightTable& table, const io::TensorIndex& index, const TensorInfo& tensor) {
  std::string path, leaf;  // not a structured binding: lambdas capture those only since clang 16
  std::tie(path, leaf) = split_last(tensor.name);
  if (!path.ends_with(".experts") || tensor.shape.size() < 2) return false;
  const auto scales_of = [&](const std::string& projection) {
    const TensorInfo* scales = index.find(path + "." + projection + "_scales");
    if (scales == nullptr) fail(ErrorKind::bad_model, "{}: has blocks and no scales", tensor.name);
    return scales;
  };
  StoredMatrix stored{.path = path + "." + leaf, .weight = &tensor};
  if (leaf == "gate_up_proj_blocks") {
    stored.scales = scales_of("gate_up_proj");
    stored.row_step = 2;
    add_stack(table, path + ".gate_proj", stored);
    stored.row_begin = 1;
    add_stack(table, path + ".up_proj", stored);
  } else if (leaf == "down_proj_blocks") {
    stored.scales = scales_of("down_proj");
    add_stack(table, path + ".down_proj", stored);
  } else if (leaf == "gate_up_proj_bias") {
    add_expert_vectors(table, path + ".gate_proj.bias", tensor, 0, 2);
    add_expert_vectors(table, path + ".up_proj.bias", tensor, 1, 2);
  } else if (leaf == "down_proj_bias") {
    add_expert_vectors(table, path + ".down_proj.bias", tensor, 0, 1);
  } else {
    return leaf.ends_with("_scales");
  }
  return true;
}

/// mlx-lm's and Hugging Face's module names as layers ask for them.
std::string canonical_path(std::string path) {
  path = replaced(std::move(path), ".block_sparse_moe.", ".mlp.");
  path = replaced(std::move(path), ".switch_mlp.", ".experts.");
  path = replaced(std::move(path), ".mlp.router", ".mlp.gate");
  if (path.find(".experts.") != std::string::npos) {
    for (const auto& [theirs, ours] :
         {std::pair{".w1", ".gate_proj"}, {".w2", ".down_proj"}, {".w3", ".up_proj"}}) {
      if (path.ends_with(theirs)) path.replace(path.size() - 3, 3, ours);
    }
  }
  return path;
}

constexpr GgufName kCommonNames[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_qkv", "self_attn.qkv_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_sinks", "self_attn.sinks"},
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
};

constexpr GgufName kTopNames[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};

std::optional<std::string> find_name(std::span<const GgufName> names, std::string_view gguf) {
  const auto it =
      std::find_if(names.begin(), names.end(), [&](const GgufName& n) { return n.gguf == gguf; });
  return it == names.end() ? std::nullopt : std::optional<std::string>(it->ours);
}

/// "blk.3.attn_q" -> "model.layers.3.self_attn.q_proj". Names nobody asks for stay as they are.
std::string gguf_path(const std::string& path, std::span<const GgufName> family_names) {
  if (const auto top = find_name(kTopNames, path)) return *top;
  if (!path.starts_with("blk.")) return path;
  const size_t dot = path.find('.', 4);
  if (dot == std::string::npos) return path;
  std::string name = path.substr(dot + 1);
  std::string expert;
  // Old Mixtral files list experts one by one: "ffn_gate.5".
  if (const size_t second = name.find('.'); second != std::string::npos) {
    expert = name.substr(second + 1);
    name.resize(second);
  }
  auto ours = find_name(family_names, name);
  if (!ours) ours = find_name(kCommonNames, name);
  if (!ours) return path;
  if (!expert.empty()) *ours = replaced(*ours, "mlp.", "mlp.experts." + expert + ".");
  return "model.layers." + path.substr(4, dot - 4) + "." + *ours;
}

void check_no_gaps(const WeightTable& table) {
  for (const auto& [path, stack] : table.experts) {
    for (size_t expert = 0; expert < stack.size(); ++expert) {
      if (stack[expert].weight == nullptr)
        fail(ErrorKind::bad_model, "{}: expert {} is missing", path, expert);
    }
  }
}

}  // namespace

WeightTable name_safetensors(const residency::WeightStore& store) {
  WeightTable table;
  table.store = &store;
  const io::TensorIndex& index = store.index();
  for (const auto& [name, tensor] : index.tensors) {
    if (add_gpt_oss(table, index, tensor)) continue;
    const auto [raw_path, leaf] = split_last(name);
    const std::string path = canonical_path(raw_path);
    if (leaf == "weight" && tensor.shape.size() >= 2) {
      add_matrix(table, path,
                 {.path = raw_path,
                  .weight = &tensor,
                  .scales = index.find(raw_path + ".scales"),
                  .biases = index.find(raw_path + ".biases")});
    } else if (leaf == "bias" && tensor.shape.size() == 2) {
      add_expert_vectors(table, path + ".bias", tensor, 0, 1);
    } else if (tensor.shape.size() == 1) {
      table.vectors[path + "." + leaf] = {.tensor = &tensor};
    }
  }
  check_no_gaps(table);
  return table;
}

WeightTable name_gguf(const residency::WeightStore& store, std::span<const GgufName> family_names) {
  WeightTable table;
  table.store = &store;
  for (const auto& [name, tensor] : store.index().tensors) {
    const auto [raw_path, leaf] = split_last(name);
    const std::string path = gguf_path(raw_path, family_names);
    if (leaf == "weight" && (tensor.shape.size() >= 2 || path.ends_with("shared_expert_gate"))) {
      add_matrix(table, path, {.path = name, .weight = &tensor});
    } else if (leaf == "bias" && tensor.shape.size() == 2) {
      add_expert_vectors(table, path + ".bias", tensor, 0, 1);
    } else if (tensor.shape.size() == 1) {
      // A vector that belongs to attention itself, not to a projection in it: "attn_sinks.weight".
      table.vectors[path.ends_with(".sinks") ? path : path + "." + leaf] = {.tensor = &tensor};
    }
  }
  check_no_gaps(table);
  return table;
}

}  // namespace sluice::models
