#include "sluice/models/left_over.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

using std::string_view;

/// How names end, or what they are, that files carry and no computation needs. Scales of an 8-bit
/// KV cache among them: keys and values are kept as precisely as the weights. models/README.md: "on
/// purpose" has the last.
constexpr auto kNotNeeded = std::to_array<string_view>(
    {".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached", ".k_scale",
     ".v_scale", "rope_factors_short.weight", ".attention.bias", ".attention.masked_bias",
     ".attn.bias", ".attn.masked_bias", ".gate.bias_vl"});

/// How names of what sees and hears begin.
constexpr auto kOtherSenses = std::to_array<string_view>(
    {"vision_tower.", "vision_adapter.", "vision_projection.", "multi_modal_projector.",
     "mm_projector.", "vision_model.", "visual.", "audio_tower.", "embed_vision.", "embed_audio.",
     "vision_embedder.", "vision.", "aligner.", "image_"});

bool is_of_other_senses(string_view raw) {
  for (const string_view outer : {"model.", "language_model."}) {
    if (raw.starts_with(outer)) return is_of_other_senses(raw.substr(outer.size()));
  }
  return std::ranges::any_of(kOtherSenses,
                             [&](string_view begin) { return raw.starts_with(begin); });
}

/// The layer that a tensor is in, by our name or by a GGUF's; -1: none.
int64_t layer_of(string_view name) {
  int64_t layer = -1;
  for (const string_view layers : {"model.layers.", "blk."}) {
    if (name.starts_with(layers))
      std::from_chars(name.data() + layers.size(), name.data() + name.size(), layer);
  }
  return layer;
}

/// Of layers that draft tokens and that nobody asked for.
bool is_drafting(const nn::WeightTable::Named& left, const Family& family, const nn::Config& config,
                 const Source& source) {
  const auto begins = [&](string_view begin) { return left.tensor->name.starts_with(begin); };
  const int64_t beyond = layer_of(left.name) - config.n_layers;
  return std::ranges::any_of(family.drafting, begins) ||
         (beyond >= 0 && (family.drops_layers_beyond || beyond < source.n_drafting_layers()));
}

/// A GGUF may count layers as drafting that are the model's, which would then be another one.
void check_drafts(const nn::WeightTable& table, const nn::WeightTable::Named& left,
                  const nn::Config& config, const Source& source) {
  const int64_t layer = layer_of(left.name);
  if (layer < config.n_layers || layer >= config.n_layers + source.n_drafting_layers() ||
      table.find(fmt::format("model.layers.{}.eh_proj.weight", layer)) != nullptr)
    return;
  fail(ErrorKind::bad_model, "{}: counts {} layers that draft tokens, but layer {} has no {}",
       source.where(), source.n_drafting_layers(), layer, "nextn.eh_proj.weight");
}

bool is_not_needed(const nn::WeightTable::Named& left, const nn::Config& config) {
  const auto ends = [&](string_view end) { return left.tensor->name.ends_with(end); };
  return (config.tie_word_embeddings && left.name.starts_with("lm_head.")) ||
         std::ranges::any_of(kNotNeeded, ends);
}

}  // namespace

std::string LeftOut::text() const {
  return senses && drafting ? "left out: what sees and hears, and layers that draft tokens"
         : senses           ? "left out: what sees and hears"
         : drafting         ? "left out: layers that draft tokens"
                            : "";
}

LeftOut check_all_bound(const nn::WeightTable& table, const Family& family,
                        const nn::Config& config, const Source& source) {
  std::vector<nn::WeightTable::Named> left = table.left_over();
  const auto senses =
      std::erase_if(left, [](const auto& named) { return is_of_other_senses(named.tensor->name); });
  for (const auto& named : left) check_drafts(table, named, config, source);
  const auto drafting = std::erase_if(
      left, [&](const auto& named) { return is_drafting(named, family, config, source); });
  std::erase_if(left, [&](const auto& named) { return is_not_needed(named, config); });
  if (left.empty()) return {.senses = senses > 0, .drafting = drafting > 0};
  const nn::WeightTable::Named& first = left.front();
  if (layer_of(first.name) >= config.n_layers) {
    fail(ErrorKind::bad_model, "{}: counts {} layers, but there is {}", source.where(),
         config.n_layers, table.where(*first.tensor));
  }
  fail(ErrorKind::unsupported,
       "{}: is no part of '{}' as Sluice computes it{}; answers would be wrong without it",
       table.where(*first.tensor), config.architecture,
       left.size() == 1 ? "" : fmt::format(" (nor are {} more)", left.size() - 1));
}

}  // namespace sluice::models
