#include "sluice/residency/experts/token_experts.h"

#include <algorithm>

namespace sluice::residency {
namespace {

uint64_t entry_bytes(int n_layers, int n_experts_per_tok) {
  return sizeof(int32_t) + sizeof(uint16_t) * static_cast<uint64_t>(n_layers) *
                               static_cast<uint64_t>(n_experts_per_tok);
}

}  // namespace

TokenExperts::Shape TokenExperts::Shape::within(Bytes most, int n_layers, int n_experts_per_tok,
                                                int64_t vocab_size) {
  const auto fit = static_cast<int64_t>(most.count / entry_bytes(n_layers, n_experts_per_tok));
  return {n_layers, n_experts_per_tok, std::max<int64_t>(1, std::min(fit, vocab_size))};
}

Bytes TokenExperts::Shape::memory() const {
  return {static_cast<uint64_t>(n_tokens) * entry_bytes(n_layers, n_experts_per_tok)};
}

TokenExperts::TokenExperts(const Shape& shape)
    : shape_(shape),
      n_ranks_(static_cast<size_t>(shape.n_experts_per_tok)),
      tokens_(static_cast<size_t>(shape.n_tokens), -1),
      experts_(tokens_.size() * static_cast<size_t>(shape.n_layers) * n_ranks_, kNone) {}

std::span<const uint16_t> TokenExperts::ranks(size_t entry, int layer) const {
  const size_t at = entry * static_cast<size_t>(shape_.n_layers) + static_cast<size_t>(layer);
  return std::span(experts_).subspan(at * n_ranks_, n_ranks_);
}

void TokenExperts::begin(std::span<const int32_t> tokens) {
  step_.assign(tokens.begin(), tokens.end());
  for (const int32_t token : step_) {
    const size_t entry = entry_of(token);
    if (tokens_[entry] == token) continue;
    tokens_[entry] = token;
    const size_t n = static_cast<size_t>(shape_.n_layers) * n_ranks_;
    std::fill_n(experts_.begin() + static_cast<std::ptrdiff_t>(entry * n), n, kNone);
  }
}

std::vector<int> TokenExperts::guess(int layer) const {
  std::vector<int> found;
  for (size_t rank = 0; rank < n_ranks_; ++rank) {
    for (const int32_t token : step_) {
      const size_t entry = entry_of(token);
      const uint16_t expert = ranks(entry, layer)[rank];
      if (tokens_[entry] == token && expert != kNone &&
          std::ranges::find(found, expert) == found.end())
        found.push_back(expert);
    }
  }
  return found;
}

void TokenExperts::add(int layer, std::span<const int32_t> experts, int64_t n_tokens) {
  if (layer >= shape_.n_layers || n_tokens != std::ssize(step_)) return;
  const size_t n = experts.size() / step_.size();
  for (size_t t = 0; t < step_.size(); ++t) {
    const size_t entry = entry_of(step_[t]);
    if (tokens_[entry] != step_[t]) continue;
    const size_t at =
        (entry * static_cast<size_t>(shape_.n_layers) + static_cast<size_t>(layer)) * n_ranks_;
    for (size_t rank = 0; rank < std::min(n, n_ranks_); ++rank) {
      const int32_t expert = experts[t * n + rank];
      experts_[at + rank] = expert < 0 ? kNone : static_cast<uint16_t>(expert);
    }
  }
}

}  // namespace sluice::residency
