#include "sluice/decode/decoding.h"

#include <mlx/transforms.h>

#include <algorithm>
#include <utility>

namespace sluice::decode {

Decoding::Decoding(const Runner& runner, std::vector<nn::KvCache*> caches,
                   std::vector<int32_t> tokens, Choose choose, bool ahead,
                   const std::atomic<bool>* cancel)
    : runner_(runner),
      caches_(std::move(caches)),
      tokens_(std::move(tokens)),
      choose_(std::move(choose)),
      // Longer steps are computed as their graph is built.
      ahead_(ahead && std::ssize(caches_) <= std::min(ops::kDecodeTokens, runner.max_logit_rows())),
      cancel_(cancel) {}

Decoding::~Decoding() {
  if (computing_) computing_->wait();  // there was no memory to begin the next one
  abandon();
  runner_.errors().clear();  // what went wrong in a step that nobody wanted
}

Decoding::Step Decoding::begin(std::span<nn::KvCache* const> caches, const mx::array& tokens,
                               Choose choose) const {
  std::vector<nn::KvCache> before;
  if (cancel_ != nullptr) {
    for (const nn::KvCache* cache : caches) before.push_back(*cache);
  }
  return {runner_.begin(caches, tokens, std::move(choose)), std::move(before)};
}

const std::vector<int32_t>& Decoding::next(bool more) {
  const ops::CancelScope scope(runner_.errors(), cancel_);
  const auto at_once = static_cast<size_t>(runner_.max_logit_rows());
  for (size_t first = 0; first < caches_.size(); first += at_once) {
    const size_t n = std::min(at_once, caches_.size() - first);
    const auto caches = std::span(caches_).subspan(first, n);
    const auto choose = [this, first](size_t i, std::span<const float> logits) {
      return choose_(first + i, logits);
    };
    int32_t* const tokens = tokens_.data() + first;
    Step step = begun_ ? *std::exchange(begun_, std::nullopt)
                       : begin(caches, mx::array(tokens, {static_cast<int>(n)}, mx::int32), choose);
    mx::array chosen = std::move(step.begun.chosen);
    step.begun.first_layers.reset();  // their memory is wanted again
    mx::async_eval(chosen);
    computing_ = chosen;
    if (ahead_ && more) begun_ = begin(caches, chosen, choose);
    chosen.wait();
    computing_.reset();
    if (runner_.errors().is_set()) abandon();  // before others can compute again
    if (!runner_.check()) {
      abandon();  // a task ahead may have heard it first
      for (size_t i = 0; i < n; ++i) *caches[i] = step.before[i];
      for (nn::KvCache* cache : std::span(caches_).first(first)) cache->trim(cache->length() - 1);
      tokens_.clear();
      return tokens_;
    }
    std::copy_n(chosen.data<int32_t>(), n, tokens);
  }
  return tokens_;
}

void Decoding::abandon() {
  if (!begun_) return;
  runner_.errors().end();
  begun_->begun.first_layers->wait();
  begun_.reset();
  for (nn::KvCache* cache : caches_) cache->trim(cache->length() - 1);
}

}  // namespace sluice::decode
