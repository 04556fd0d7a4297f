#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/latent_attention.h"
#include "sluice/nn/moe.h"
#include "sluice/nn/ngrams.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::longcat_flash {
namespace {

/// Attention and a dense block, twice; beside the second pair, experts of what the first dense block gets.
struct Layer {
  struct Pair {
    nn::LatentAttention attention;
    nn::GatedMlp mlp;

    Pair(const nn::Config& c, const nn::LayerConfig& layer, const nn::Weights& w,
         const std::string& i, nn::Demands& demands)
        : attention(c, std::get<nn::LatentAttentionConfig>(layer.mixer), w["self_attn"][i],
                    {.pre = nn::norm(w["input_layernorm"][i], c), .post = {}}, demands),
          mlp(c, dense(layer), w["mlps"][i],
              {.pre = nn::norm(w["post_attention_layernorm"][i], c), .post = {}}, demands) {}

    static nn::MlpConfig dense(const nn::LayerConfig& layer) {
      nn::MlpConfig mlp = layer.mlp();
      mlp.intermediate_size = layer.moe()->shared_intermediate_size;
      return mlp;
    }
  };
  Pair first, second;
  std::shared_ptr<const ops::MoeSpec> experts;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : first(c, c.layers[static_cast<size_t>(i)], w, "0", demands),
        second(c, c.layers[static_cast<size_t>(i)], w, "1", demands) {
    const nn::MoeConfig& moe = *c.layers[static_cast<size_t>(i)].moe();
    const nn::Weights router = w["mlp"]["router"];
    const int64_t choices = moe.n_experts + moe.router.n_identities;
    ops::RouterSpec routing = moe.router;
    routing.choice_bias = router["e_score_correction_bias"].optional_vector(choices);
    demands.add_experts(moe.n_experts, routing.n_experts_per_tok, moe.expert.intermediate_size);
    experts = std::make_shared<const ops::MoeSpec>(ops::MoeSpec{
        .layer = static_cast<int>(i),
        .pre = nn::norm(w["post_attention_layernorm"]["0"], c),
        .router_pre = {},
        .end = {},
        .router = nn::linear(router["classifier"], c.hidden_size, choices),
        .routing = std::move(routing),
        .experts = nn::load_experts(c, moe, w["mlp"]["experts"]),
    });
  }

  mx::array operator()(const mx::array& x, const nn::Step& step, std::nullptr_t = nullptr) const {
    const mx::array attended = first.attention(x, step);
    const mx::array sparse =
        ops::moe(step.context, attended, experts, false, step.moe_layers, step.experts);
    const mx::array y = first.mlp(attended, step);
    return ops::add(step.context, second.mlp(second.attention(y, step), step), sparse);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  if (config.n_gram > 0) return make_decoder<Layer, nn::Ngrams>(std::move(config), weights);
  return make_decoder<Layer>(std::move(config), weights);
}

/// Sizes of n-gram embeddings, where the model has them.
void read_ngrams(nn::Config& c, const Source& s) {
  if (s.architecture() != "longcat_flash_ngram") return;
  constexpr int64_t kMostTables = 256;
  c.n_gram = s.integer({"emb_neighbor_num", ""}).value_or(4);
  c.n_ngram_tables = s.integer({"emb_split_num", ""}).value_or(4);
  const int64_t ratio = s.integer({"ngram_vocab_size_ratio", ""}).value_or(78);
  c.ngram_rows = std::clamp<int64_t>(ratio, 0, int64_t{1} << 24) * c.vocab_size + 1;
  if (c.n_gram < 2 || c.n_ngram_tables < 1 || c.n_gram > kMostTables ||
      c.n_ngram_tables * (c.n_gram - 1) > std::min(kMostTables, c.hidden_size) ||
      c.vocab_size >= int64_t{1} << 24 || c.ngram_rows >= int64_t{1} << 31) {
    fail(ErrorKind::bad_model, "{}: {} tables of up to {}-grams, of {} rows", s.where(),
         c.n_ngram_tables, c.n_gram, c.ngram_rows);
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const Defaults defaults{.latent = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_latent_attention(c, s, w, defaults);
  const auto width = static_cast<float>(c.hidden_size);
  const bool scales_q = s.boolean({"mla_scale_q_lora", ""}).value_or(true);
  const bool scales_latent = s.boolean({"mla_scale_kv_lora", ""}).value_or(true);
  for (nn::LayerConfig& layer : c.layers) {
    auto& a = std::get<nn::LatentAttentionConfig>(layer.mixer);
    a.latent_eps = 1e-5F;  // the reference's own constant
    if (scales_q && a.q_lora_rank > 0)
      a.q_factor = std::sqrt(width / static_cast<float>(a.q_lora_rank));
    if (scales_latent) a.latent_factor = std::sqrt(width / static_cast<float>(a.kv_lora_rank));
  }
  read_ngrams(c, s);
  const int64_t identities = s.integer({"zero_expert_num", ""}).value_or(0);
  const int64_t dense = s.required_integer({"ffn_hidden_size", ""});
  if (s.string({"zero_expert_type", ""}).value_or("identity") != "identity" || c.moe() == nullptr ||
      identities > c.n_experts())
    fail(ErrorKind::unsupported, "{}: {} zero experts beside {}, or no identities", s.where(),
         identities, c.n_experts());
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.n_identities = identities;
    moe.router.least_sum = 1e-20F;
    moe.shared_intermediate_size = dense;
  });
  return c;
}

constexpr KeyName kKeys[] = {{"num_layers", "num_hidden_layers"},
                             {"moe_topk", "num_experts_per_tok"},
                             {"expert_ffn_hidden_size", "moe_intermediate_size"},
                             {"ffn_hidden_size", "intermediate_size"}};
constexpr std::string_view kDrafting[] = {"model.mtp"};
constexpr TensorName kTensors[] = {
    {"^model.ngram_embeddings.word_embeddings.", "model.embed_tokens."}};
constexpr std::string_view kNames[] = {"longcat_flash", "longcat_flash_ngram"};

}  // namespace

// LongCat-Flash, arXiv:2509.01322, and LongCat-Flash-Lite; as mlx-lm 0.32.2 models/longcat_flash.py and longcat_flash_ngram.py. Two
// pairs of latent attention and a dense block a layer; experts beside them, of which some give a token back as it is; in Lite,
// embeddings of n-grams.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make,
                           .config_keys = kKeys,
                           .hf_names = kTensors,
                           .drafting = kDrafting};

}  // namespace sluice::models::families::longcat_flash
