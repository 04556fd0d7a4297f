#include <optional>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/compressed_attention.h"
#include "sluice/nn/hyper_connection.h"
#include "sluice/nn/moe.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::deepseek_v41 {
namespace {

/// What layers hand on beside the streams: the mix that says what the next block gets of them.
struct Given {
  std::optional<mx::array> mix;
  nn::ChosenRows chosen;
};

mx::array collapse(const mx::array& x, const std::optional<mx::array>& mix,
                   const ops::Streams& streams, const nn::Step& step) {
  if (!mix) return ops::take_columns(step.context, x, {{0, streams.width}});
  return ops::collapse_streams(step.context, x, *mix, streams);
}

/// The embedded token in every stream; at last they are one again.
class Inputs {
 public:
  Inputs(const nn::Config& c, const nn::Weights&, nn::Demands&)
      : streams_{c.hyper.n, c.hidden_size} {}

  Given operator()(const mx::array&, const nn::Step&) const { return {}; }
  mx::array begin(const mx::array& x, const nn::Step& step) const {
    mx::array all = x;
    for (int64_t i = 1; i < streams_.n; ++i) all = ops::join_heads(step.context, all, x, 1);
    return all;
  }
  mx::array end(const mx::array& x, const nn::Step& step, const Given& given) const {
    return collapse(x, given.mix, streams_, step);
  }

 private:
  ops::Streams streams_;
};

struct Layer {
  ops::Streams streams;
  ops::Norm input_norm;
  nn::HyperConnection before_attention, before_mlp;
  nn::CompressedAttention attention;
  nn::FeedForward feed_forward;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : streams{c.hyper.n, c.hidden_size},
        input_norm(nn::norm(w["input_layernorm"], c)),
        before_attention(c, w["attn_hc"], demands),
        before_mlp(c, w["ffn_hc"], demands),
        attention(c, std::get<nn::CompressedAttentionConfig>(config_of(c, i).mixer), w["self_attn"],
                  demands),
        feed_forward(c, config_of(c, i), w["mlp"],
                     {.pre = nn::norm(w["post_attention_layernorm"], c), .post = {}}, i, demands) {}

  static const nn::LayerConfig& config_of(const nn::Config& c, int64_t i) {
    return c.layers[static_cast<size_t>(i)];
  }

  mx::array operator()(const mx::array& x, const nn::Step& step, Given& given) const {
    const ops::Context& context = step.context;
    const mx::array of_attention = before_attention.mix(x, step);
    const mx::array normed =
        ops::rms_norm(context, collapse(x, given.mix, streams, step), input_norm);
    const mx::array attended = attention(normed, given.chosen, step);
    const mx::array between = ops::expand_streams(context, x, attended, of_attention, streams);
    given.mix = before_mlp.mix(between, step);
    const mx::array y = feed_forward.alone(collapse(between, of_attention, streams, step), step);
    return ops::expand_streams(context, between, y, *given.mix, streams);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer, Inputs>(std::move(config), weights);
}

void read_router(nn::MoeConfig& moe, const Source& s) {
  const double temperature = s.number({"gate_temp", ""}).value_or(1);
  const double scale = s.number({"routed_scaling_factor", ""}).value_or(1.5);
  if (!(temperature > 0))
    fail(ErrorKind::bad_model, "{}: gate_temp is {}, wanted more than 0", s.where(), temperature);
  if (!s.has("scoring_func"))
    moe.router.scoring = ops::RouterSpec::Scoring::root_softplus_then_top_k;
  moe.router.renormalize = moe.router.renormalize && moe.router.n_experts_per_tok > 1;
  moe.router.least_sum = 1e-20F;
  moe.router.weight_scale = static_cast<float>(scale);
  moe.router.n_groups = moe.router.n_groups_used = 1;
  moe.router_scale = static_cast<float>(1 / temperature);
  moe.shared_intermediate_size = moe.expert.intermediate_size;
  moe.expert.bound = static_cast<float>(s.number({"swiglu_limit", ""}).value_or(10));
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  constexpr int64_t kMostStreams = 16, kMostIterations = 1000;
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-20,
                               .intermediate_size = 2304,
                               .renormalize = true,
                               .interleaved = true,
                               .is_sparse = every_layer,
                               .any_layers = true,
                               .latent = true});
  if (!s.numbers({"engram_layer_ids", ""}).value_or(std::vector<double>{}).empty())
    fail(ErrorKind::unsupported,
         "{}: engram_layer_ids names layers with an engram memory, which Sluice does not have",
         s.where());
  read_compressed_attention(c, s);
  c.hyper = {.n = s.integer({"hc_mult", ""}).value_or(4),
             .iterations = s.integer({"hc_sinkhorn_iters", ""}).value_or(20),
             .eps = static_cast<float>(s.number({"hc_eps", ""}).value_or(1e-6))};
  if (c.hyper.n < 1 || c.hyper.n > kMostStreams || c.hyper.iterations > kMostIterations)
    fail(ErrorKind::bad_model, "{}: hc_mult is {} and hc_sinkhorn_iters {}, wanted up to {} and {}",
         s.where(), c.hyper.n, c.hyper.iterations, kMostStreams, kMostIterations);
  each_moe(c, [&](nn::MoeConfig& moe) { read_router(moe, s); });
  c.tie_word_embeddings = false;
  for (const char* told : {"num_nextn_predict_layers", "n_shared_experts", "topk_method"})
    s.ignore({told, ""});
  return c;
}

constexpr TensorName kTensors[] = {{"^embed.", "model.embed_tokens."},
                                   {"^head.", "lm_head."},
                                   {".attn.", ".self_attn."},
                                   {".ffn.", ".mlp."},
                                   {".attn_norm.", ".input_layernorm."},
                                   {".ffn_norm.", ".post_attention_layernorm."},
                                   {".hc_attn_", ".attn_hc."},
                                   {".hc_ffn_", ".ffn_hc."},
                                   {".attn_sink", ".sinks"},
                                   {".wq_a.", ".q_a_proj."},
                                   {".wq_b.", ".q_b_proj."},
                                   {".wkv.", ".kv_proj."},
                                   {".wgate.", ".gate_proj."},
                                   {".wo_a.", ".o_a_proj."},
                                   {".wo_b.", ".o_b_proj."},
                                   {".q_norm.", ".q_a_norm."},
                                   {".compressor.norm.", ".compressor.kv_norm."},
                                   {".indexer.wk.", ".indexer.k_proj."},
                                   {".gate.bias", ".gate.e_score_correction_bias"},
                                   {".experts.experts.", ".experts."},
                                   {".shared_experts.", ".shared_expert."},
                                   {".w1.", ".gate_proj."},
                                   {".w2.", ".down_proj."},
                                   {".w3.", ".up_proj."}};
constexpr std::string_view kDrafting[] = {"mtp."};
constexpr std::string_view kNames[] = {"deepseek_v41", "deepseek_v41_text"};

}  // namespace

// DeepSeek-V4.1; as mlx-lm 0.32.2 models/deepseek_v41.py. Several residual streams, mixed around each block (hyper-connections);
// attention to a window of rows and to compressed ones, which an indexer chooses and layers share; experts by square roots of
// softplus with a bias, beside a shared one; gates and values are bounded.
extern const Family family{
    .names = kNames, .read = read, .make = make, .hf_names = kTensors, .drafting = kDrafting};

}  // namespace sluice::models::families::deepseek_v41
