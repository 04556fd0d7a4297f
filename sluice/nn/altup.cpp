#include "sluice/nn/altup.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

std::vector<ops::Projection> of_later_streams(const ops::Streams& s, const Weights& list,
                                              const Weights& stack) {
  std::vector<ops::Projection> all;
  const int64_t d = s.width;
  for (int64_t i = 0; i + 1 < s.n; ++i) {
    if (stack.has()) {
      all.push_back({stack.matrices(s.n - 1, d, d).select_rows(i * d, d), nullptr});
    } else {
      all.push_back(linear(list[std::to_string(i)], d, d));
    }
  }
  return all;
}

}  // namespace

AltUp::AltUp(const Config& c, const ops::Streams& streams, const Weights& w)
    : streams_(streams),
      router_norm_(norm(w["router_norm"], c)),
      router_{linear(w["modality_router"], c.hidden_size, streams.n)},
      predict_(w["prediction_coefs"]["weight"].tensor({{streams.n * streams.n, streams.n}})),
      correct_(w["correction_coefs"]["weight"].tensor({{streams.n, streams.n}})),
      scale_(w["correct_output_scale"].vector(c.hidden_size)) {
  std::vector<float> weight = *router_norm_.weight;
  for (float& value : weight) value /= static_cast<float>(c.hidden_size);
  router_norm_.weight = std::make_shared<const std::vector<float>>(std::move(weight));
}

mx::array AltUp::active(const mx::array& x, const Step& step) const {
  return ops::take_columns(step.context, x, {{streams_.active * streams_.width, streams_.width}});
}

mx::array AltUp::modalities(const mx::array& x, const Step& step) const {
  return ops::project(step.context, x, router_norm_, router_)[0];
}

mx::array AltUp::predict(const mx::array& x, const Step& step) const {
  return ops::predict_streams(step.context, x, modalities(active(x, step), step), predict_,
                              streams_);
}

mx::array AltUp::correct(const mx::array& predicted, const mx::array& y, const Step& step) const {
  return ops::correct_streams(step.context, predicted, y, modalities(y, step), correct_, streams_);
}

mx::array AltUp::scaled(const mx::array& x, const Step& step) const {
  return ops::scale_columns(step.context, active(x, step), scale_);
}

StreamEnds::StreamEnds(const Config& c, const ops::Streams& streams, const Weights& w,
                       Demands& demands)
    : streams_(streams),
      apart_(of_later_streams(streams, w["altup_projections"], w["altup_proj"])),
      together_(of_later_streams(streams, w["altup_unembed_projections"], w["altup_unembd_proj"])) {
  demands.add_rows(4 * streams.n * c.hidden_size, c.hidden_size);
}

mx::array StreamEnds::begin(const mx::array& x, const Step& step) const {
  mx::array all = x;
  for (const mx::array& one : ops::project(step.context, x, std::nullopt, apart_))
    all = ops::join_heads(step.context, all, one, 1);
  return ops::match_magnitudes(step.context, all, streams_);
}

mx::array StreamEnds::end(const mx::array& x, const Step& step) const {
  const ops::Context& context = step.context;
  mx::array all = ops::take_columns(context, x, {{0, streams_.width}});
  for (size_t i = 0; i < together_.size(); ++i) {
    const int64_t begin = (static_cast<int64_t>(i) + 1) * streams_.width;
    const mx::array one = ops::take_columns(context, x, {{begin, streams_.width}});
    const mx::array made = ops::project(context, one, std::nullopt, {together_[i]})[0];
    all = ops::join_heads(context, all, made, 1);
  }
  return ops::mean_stream(context, ops::match_magnitudes(context, all, streams_), streams_);
}

}  // namespace sluice::nn
