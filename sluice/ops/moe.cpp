#include "sluice/ops/moe.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/look_ahead.h"

namespace sluice::ops {
namespace {

/// The (token, rank) pairs of a step, sorted by expert: pair `order[i]` is row i of the gathered input.
struct Assignment {
  std::vector<int32_t> order;
  std::vector<int64_t> begin;  ///< expert e has rows [begin[e], begin[e + 1])
};

Assignment sort_by_expert(const int32_t* ids, int64_t n_pairs, size_t n_experts) {
  Assignment a;
  a.begin.assign(n_experts + 1, 0);
  for (int64_t p = 0; p < n_pairs; ++p) {
    if (ids[p] != kNoExpert) ++a.begin[static_cast<size_t>(ids[p]) + 1];
  }
  std::partial_sum(a.begin.begin(), a.begin.end(), a.begin.begin());
  a.order.resize(static_cast<size_t>(a.begin.back()));
  std::vector<int64_t> next(a.begin.begin(), a.begin.end() - 1);
  for (int64_t p = 0; p < n_pairs; ++p) {
    if (ids[p] == kNoExpert) continue;
    a.order[static_cast<size_t>(next[static_cast<size_t>(ids[p])]++)] = static_cast<int32_t>(p);
  }
  return a;
}

/// A part of one expert's work: rows [row, row + count) of its matrices.
struct Part {
  size_t expert;
  int64_t row, count;
};

/// The experts that some token chose.
std::vector<int> active_experts(const Assignment& a) {
  std::vector<int> active;
  for (size_t e = 0; e + 1 < a.begin.size(); ++e) {
    if (a.begin[e] != a.begin[e + 1]) active.push_back(static_cast<int>(e));
  }
  return active;
}

/// The rows of these experts, cut so that few experts still use every thread.
std::vector<Part> cut(const Context& context, const Assignment& a, std::span<const int> active,
                      int64_t rows) {
  std::vector<Part> parts;
  for (const int expert : active) {
    const auto e = static_cast<size_t>(expert);
    const int64_t all = rows * static_cast<int64_t>(active.size());
    const int64_t step = rows_at_a_time(context, all, a.begin[e + 1] - a.begin[e]);
    for (int64_t row = 0; row < rows; row += step) {
      parts.push_back({e, row, std::min(step, rows - row)});
    }
  }
  return parts;
}

void for_each_part(const Context& context, const std::vector<Part>& parts,
                   const std::function<void(const Part&)>& body) {
  context.pool.parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(parts[static_cast<size_t>(i)]);
  });
}

const float* bias_of(const std::vector<Vector>& bias, size_t expert) {
  return bias.empty() ? nullptr : bias[expert]->data();
}

/// The input of every pair, in the experts' order.
Rows gather(Scratch::Frame& frame, const Rows& x, Forms forms, const Assignment& a, int64_t k) {
  const auto n_pairs = static_cast<int64_t>(a.order.size());
  Rows rows{n_pairs, x.cols, nullptr, nullptr};
  const auto token = [&a, k](int64_t pair) { return a.order[static_cast<size_t>(pair)] / k; };
  if (forms.int8) {
    auto** int8 = frame.take<const std::byte*>(n_pairs);
    for (int64_t i = 0; i < n_pairs; ++i) int8[i] = x.int8[token(i)];
    rows.int8 = int8;
  }
  if (forms.floats) {
    auto* floats = frame.take<float>(n_pairs * x.cols);
    for (int64_t i = 0; i < n_pairs; ++i) {
      std::copy_n(x.floats + token(i) * x.cols, x.cols, floats + i * x.cols);
    }
    rows.floats = floats;
  }
  return rows;
}

/// The same, each times its weight, which is 1 from then on.
Rows gather_weighed(const Context& context, Scratch::Frame& frame, const Rows& x, Forms forms,
                    const Assignment& a, int64_t k, float* weights) {
  const auto n_pairs = static_cast<int64_t>(a.order.size());
  const NewRows rows(frame, n_pairs, x.cols, forms);
  auto* scaled = frame.take<float>(x.cols);
  for (int64_t i = 0; i < n_pairs; ++i) {
    const int64_t pair = a.order[static_cast<size_t>(i)];
    const float* const from = x.floats + pair / k * x.cols;
    const float weight = std::exchange(weights[pair], 1.0F);
    std::transform(from, from + x.cols, scaled, [weight](float v) { return weight * v; });
    rows.set(context, i, 0, x.cols, scaled);
  }
  return rows.rows();
}

Forms forms_for(const Context& context, const std::vector<residency::Weight>& weights,
                float clip = kInputClip) {
  Forms forms{.clip = clip};
  for (const residency::Weight& w : weights) forms.add(context, w.matrix);
  return forms;
}

/// y[i] = the expert's output for pair i of the assignment, of these experts, which are in memory.
void run_some_experts(const Context& context, const Experts& experts, const Assignment& a,
                      const residency::ExpertStream& weights, std::span<const int> some,
                      const Rows& x, const NewRows& activated, float* y) {
  const int64_t hidden = experts.down[0].rows(), inner = experts.up[0].rows();
  const auto tokens_of = [&a](const Part& p) { return a.begin[p.expert + 1] - a.begin[p.expert]; };
  const auto matrix = [&](const std::vector<residency::Weight>& of, const Part& p) {
    return weights.acquire(static_cast<int>(p.expert), of[p.expert]);
  };
  for_each_part(context, cut(context, a, some, inner), [&](const Part& p) {
    const int64_t first = a.begin[p.expert];
    const GateUp w{experts.gate.empty() ? kernels::Matrix{} : matrix(experts.gate, p),
                   matrix(experts.up, p), bias_of(experts.gate_bias, p.expert),
                   bias_of(experts.up_bias, p.expert)};
    gated_part(context, experts.activation, w, x.part(first, tokens_of(p)), p.row, p.count,
               activated, first);
  });
  for_each_part(context, cut(context, a, some, hidden), [&](const Part& p) {
    const int64_t first = a.begin[p.expert];
    const float* bias = bias_of(experts.down_bias, p.expert);
    const kernels::Matrix w = rows_of(matrix(experts.down, p), p.row, p.count);
    multiply(context, w, bias == nullptr ? nullptr : bias + p.row,
             activated.rows().part(first, tokens_of(p)), y + first * hidden + p.row, hidden);
  });
}

/// Of these experts' results.
void norm_results(const Context& context, const Norm& norm, const Assignment& a,
                  std::span<const int> experts, float* y) {
  const int64_t width = norm.width();
  for (const int expert : experts) {
    const auto e = static_cast<size_t>(expert);
    for (int64_t i = a.begin[e]; i < a.begin[e + 1]; ++i) {
      float* const row = y + i * width;
      std::transform(row, row + width, norm.weight->begin(), row, std::multiplies<>());
      context.kernels.rms_norm(row, nullptr, 0, width, norm.eps, row);
    }
  }
}

/// What can be done with the first experts' results before the others are there.
using BeforeWaiting = std::function<void(std::span<const int> experts)>;

/// y[i] = the expert's output for pair i of the assignment. Which experts are in memory first does not matter:
/// each writes rows of its own.
void run_experts(const Context& context, Scratch::Frame& frame, const Experts& experts,
                 const Assignment& a, residency::ExpertStream& stream, const Rows& x, float* y,
                 const BeforeWaiting& before_waiting) {
  const NewRows activated(frame, x.n, experts.up[0].rows(),
                          forms_for(context, experts.down, kActivatedClip));
  bool first = true;
  for (std::span<const int> some = stream.next(); !some.empty(); some = stream.next()) {
    run_some_experts(context, experts, a, stream, some, x, activated, y);
    if (experts.result_norm) norm_results(context, *experts.result_norm, a, some, y);
    if (std::exchange(first, false) && before_waiting && stream.would_wait()) before_waiting(some);
  }
}

/// out[t] = sum of these experts' outputs in router rank, so that the experts' order in memory does not matter.
void sum_by_rank(const Context& context, const Assignment& a, std::span<const int> experts,
                 const float* y, const float* weights, int64_t n_tokens, int64_t k, int64_t hidden,
                 float* out) {
  std::vector<int64_t> row_of_pair(static_cast<size_t>(n_tokens * k), -1);
  for (const int expert : experts) {
    const auto e = static_cast<size_t>(expert);
    for (int64_t i = a.begin[e]; i < a.begin[e + 1]; ++i) {
      row_of_pair[static_cast<size_t>(a.order[static_cast<size_t>(i)])] = i;
    }
  }
  context.pool.parallel_for(n_tokens, 4, [&](int64_t begin, int64_t end) {
    std::fill(out + begin * hidden, out + end * hidden, 0.0F);
    for (int64_t p = begin * k; p < end * k; ++p) {
      const int64_t row = row_of_pair[static_cast<size_t>(p)];
      if (row >= 0)
        context.kernels.add_scaled(y + row * hidden, weights[p], hidden, out + p / k * hidden);
    }
  });
}

/// Leaves out experts that are not in memory, but a token's better half: what that costs is in docs/compression.md.
void skip_missing(const Context& context, const MoeSpec& spec, const Choice& choice,
                  int64_t n_tokens) {
  const int64_t k = spec.routing.n_experts_per_tok;
  for (int64_t t = 0; t < n_tokens; ++t) {
    int32_t* const ids = choice.ids + t * k;
    leave_out(ids, choice.weights + t * k, k, [&](int64_t r) {
      return r >= (k + 1) / 2 && context.weights.skip_expert(spec.layer, ids[r]);
    });
  }
}

/// What a sparse block reads and writes. latent, residual: or null.
struct MoeRows {
  const float *x, *latent, *residual;
  int64_t n_tokens;
  float* out;
};

/// `later`: the sparse blocks that run next, where their experts should be guessed.
void run_moe(const Context& context, const MoeSpec& spec, LookAhead::Layers later,
             const ExpertUse& use, const MoeRows& io) {
  Scratch::Frame frame(context.scratch);
  const kernels::Matrix router = context.weights.acquire(spec.router.weight);
  const float *const x = io.x, *const latent = io.latent, *const residual = io.residual;
  const int64_t n_tokens = io.n_tokens;
  const Experts& experts = spec.experts;
  const int64_t hidden = experts.down[0].rows(),
                n_experts = router.rows - spec.routing.n_identities;
  const int64_t k = spec.routing.n_experts_per_tok;
  Forms of_experts = forms_for(context, experts.gate);
  const Forms of_up = forms_for(context, experts.up);
  of_experts.floats = of_experts.floats || of_up.floats;
  of_experts.int8 = of_experts.int8 || of_up.int8;
  const bool apart = spec.router_pre || latent != nullptr;
  Forms forms = of_experts, of_router;
  (apart ? of_router : forms).add(context, router);
  forms.floats = forms.floats || experts.weighs_input || spec.routing.n_identities > 0;
  const Rows rows = latent != nullptr
                        ? make_rows(context, frame, {}, latent, n_tokens, hidden, forms)
                        : make_rows(context, frame, spec.pre, x, n_tokens, hidden, forms);
  const Rows routed = apart
                          ? make_rows(context, frame, spec.router_pre ? spec.router_pre : spec.pre,
                                      x, n_tokens, router.cols, of_router)
                          : rows;
  const Choice choice = choose(context, frame, spec.routing, spec.router, router, routed);
  context.weights.note_experts(spec.layer, {choice.ids, static_cast<size_t>(n_tokens * k)},
                               n_tokens);
  if (context.skip_missing_experts && use.may_skip) {
    skip_missing(context, spec, choice, n_tokens);
  }
  const Assignment a = sort_by_expert(choice.ids, n_tokens * k, static_cast<size_t>(n_experts));
  const std::vector<int> active = active_experts(a);
  residency::ExpertStream stream = context.weights.experts(spec.layer, active, use.use);
  LookAhead ahead(context, frame, later, n_tokens);
  ahead.before(x);
  const Rows inputs = experts.weighs_input
                          ? gather_weighed(context, frame, rows, of_experts, a, k, choice.weights)
                          : gather(frame, rows, of_experts, a, k);
  auto* y = frame.take<float>(n_tokens * k * hidden);
  auto* sums = frame.take<float>(n_tokens * hidden);
  const auto sum = [&](std::span<const int> of, float* to) {
    sum_by_rank(context, a, of, y, choice.weights, n_tokens, k, hidden, sums);
    for (int64_t t = 0; choice.identities != nullptr && t < n_tokens; ++t) {
      context.kernels.add_scaled(rows.floats + t * hidden, choice.identities[t], hidden,
                                 sums + t * hidden);
    }
    finish_rows(context, spec.end, sums, residual, n_tokens, hidden, to);
  };
  // Without the residual it is not yet what the next block gets.
  const bool guesses_output = residual != nullptr && ahead.guesses_next();
  BeforeWaiting before_waiting;
  if (guesses_output) {
    before_waiting = [&](std::span<const int> some) {
      auto* part = frame.take<float>(n_tokens * hidden);
      sum(some, part);
      ahead.waiting(part);
    };
  }
  run_experts(context, frame, spec.experts, a, stream, inputs, y, before_waiting);
  sum(active, io.out);
  if (guesses_output) ahead.after(io.out);
}

}  // namespace

mx::array moe(const Context& context, const mx::array& x, std::shared_ptr<const MoeSpec> spec,
              bool residual, const std::shared_ptr<MoeLayers>& layers, const ExpertUse& use,
              const std::optional<mx::array>& latent) {
  const auto n_tokens = static_cast<int64_t>(x.shape(0));
  layers->push_back(spec);
  std::vector<mx::array> inputs{x};
  if (latent) inputs.insert(inputs.begin(), *latent);  // of the output's shape
  return kernel_op(
      context, "moe", inputs, inputs[0].shape(),
      [&context, spec = std::move(spec), residual, n_tokens, layers, use,
       next = layers->size()](const Buffers& b) {
        // A graph that is evaluated layer by layer has no later block yet.
        const LookAhead::Layers all = *layers;
        const bool guesses = use.use == residency::Use::keep && n_tokens <= kShortStep;
        const auto later = guesses ? all.subspan(next) : LookAhead::Layers{};
        const bool is_latent = b.inputs.size() == 2;
        const float* const from = b.input(is_latent ? 1 : 0);
        run_moe(context, *spec, later, use,
                {from, is_latent ? b.input(0) : nullptr, residual ? from : nullptr, n_tokens,
                 b.output()});
      },
      0);
}

}  // namespace sluice::ops
