#include "sluice/decode/decoding.h"

#include <mlx/transforms.h>

#include <algorithm>
#include <utility>

namespace sluice::decode {

Decoding::Decoding(const Runner& runner, std::vector<nn::KvCache*> caches,
                   std::vector<int32_t> tokens, Choose choose, bool ahead)
    : runner_(runner),
      caches_(std::move(caches)),
      tokens_(std::move(tokens)),
      choose_(std::move(choose)),
      // Longer steps are computed as their graph is built.
      ahead_(ahead &&
             std::ssize(caches_) <= std::min(ops::kDecodeTokens, runner.max_logit_rows())) {}

Decoding::~Decoding() {
  if (computing_) computing_->wait();  // there was no memory to begin the next one
  abandon();
  runner_.errors().clear();  // what went wrong in a step that nobody wanted
}

const std::vector<int32_t>& Decoding::next(bool more) {
  const auto at_once = static_cast<size_t>(runner_.max_logit_rows());
  for (size_t first = 0; first < caches_.size(); first += at_once) {
    const size_t n = std::min(at_once, caches_.size() - first);
    const auto caches = std::span(caches_).subspan(first, n);
    const auto choose = [this, first](size_t i, std::span<const float> logits) {
      return choose_(first + i, logits);
    };
    int32_t* const tokens = tokens_.data() + first;
    mx::array chosen =
        begun_ ? std::exchange(begun_, std::nullopt)->chosen
               : runner_.begin(caches, mx::array(tokens, {static_cast<int>(n)}, mx::int32), choose)
                     .chosen;
    mx::async_eval(chosen);
    computing_ = chosen;
    if (ahead_ && more) begun_ = runner_.begin(caches, chosen, choose);
    chosen.wait();
    computing_.reset();
    if (runner_.errors().is_set()) abandon();  // before others can compute again
    runner_.check();
    std::copy_n(chosen.data<int32_t>(), n, tokens);
  }
  return tokens_;
}

void Decoding::abandon() {
  if (!begun_) return;
  runner_.errors().end();
  begun_->first_layers->wait();
  begun_.reset();
  for (nn::KvCache* cache : caches_) cache->trim(cache->length() - 1);
}

}  // namespace sluice::decode
