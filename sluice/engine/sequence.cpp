#include "sluice/engine/sequence.h"

#include <algorithm>
#include <utility>

#include "sluice/decode/match_drafter.h"
#include "sluice/engine/logprobs.h"

namespace sluice::engine {
namespace {

double seconds(Sequence::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Guesses of such a chain that come out right.
double expected(std::span<const float> chances) {
  double sum = 0, path = 1;
  for (const float chance : chances) sum += path *= chance;
  return sum;
}

}  // namespace

Sequence::Sequence(Request request, std::shared_ptr<Listener> listener,
                   const text::Tokenizer& tokenizer, const Limits& limits)
    : request_(std::move(request)),
      listener_(std::move(listener)),
      tokenizer_(tokenizer),
      limits_(limits),
      timeline_(request_.tokens),
      detokenizer_(tokenizer, request_.continues_text ? text::Detokenizer::Place::continuation
                                                      : text::Detokenizer::Place::start),
      stops_(request_.stop),
      drafter_(request_.drafter),
      arrived_(Clock::now()),
      sampler_(request_.sampling),
      sampled_(request_.tokens) {
  result_.prompt_tokens = n_prompt();
  if (request_.pooling) pooler_.emplace(*request_.pooling);
  if (limits_.snap_kv > 0 && n_prompt() > limits_.snap_kv && !pooler_) n_kept_ = limits_.snap_kv;
}

bool Sequence::is_cancelled() const {
  return cancelled_ || (request_.cancel != nullptr && request_.cancel->load());
}

void Sequence::activate(nn::KvCache kv) {
  kv_.emplace(std::move(kv));
  if (pooler_) pooler_->reset();
  if (admitted_ != Clock::time_point{}) return;
  admitted_ = Clock::now();
  result_.reused_tokens = kv_->length();
  result_.queued_seconds = seconds(admitted_ - arrived_);
  listener_->on_admitted(n_prompt(), kv_->length());
}

void Sequence::release() {
  if (made_ && made_->sees_states()) made_.reset();  // it keeps in step with the keys and values
  kv_.reset();
  aside_.reset();
}

void Sequence::put_aside() {
  std::optional<nn::KvCache> kv = std::move(kv_);
  release();
  kv->spill(residency::KvPool::kNoCap, nn::KvCache::Spilled::whole);
  aside_ = std::move(kv);
}

void Sequence::prune() {
  kv_->prune();
  result_.pruned = Pruned{n_kept_, n_prompt()};
}

std::span<const text::Token> Sequence::reusable() const {
  const int64_t n = n_kept_ > 0 ? n_prompt() - ops::kObserved : std::ssize(timeline_) - 1;
  return std::span(timeline_).first(static_cast<size_t>(n));
}

int64_t Sequence::row_tokens(int64_t at, int64_t n) const {
  if (n_kept_ == 0 || kv_->is_pruned()) return n;
  const int64_t before = n_prompt() - ops::kObserved - kv_->length() - at;
  return before > 0 ? std::min(n, before) : before == 0 ? ops::kObserved : 0;
}

void Sequence::begin_guesses(GuessMaker& maker) {
  if (pooler_ || request_.drafter != nullptr) return;
  if (!made_) made_ = maker.guesses(request_.cache_salt);
  made_->begin(timeline_, kv_->length());
}

void Sequence::tell_guesses() {
  if (made_) made_->follow(timeline_);
}

/// With what decides its token and ends it.
decode::Row Sequence::bound(decode::Row row) {
  row.kv = &*kv_;
  row.choose = [this](int64_t, std::span<const float> logits) { return choose(logits); };
  if (made_ && made_->sees_states())
    row.see_raw = [this](int64_t at, std::span<const float> state) { made_->see(at, state); };
  row.cancel = request_.cancel != nullptr ? request_.cancel : &cancelled_;
  return row;
}

/// position: of its first token.
decode::Row Sequence::pooled(decode::Row row, int64_t position) {
  row.hidden_from = std::max<int64_t>(0, pooler_->first_wanted(n_prompt()) - position);
  row.see_hidden = [this](int64_t, std::span<const float> hidden) { pooler_->add(hidden); };
  return bound(std::move(row));
}

decode::Row Sequence::row(int64_t at, int64_t n) {
  const auto begin = timeline_.begin() + kv_->length() + at;
  if (pooler_) return pooled({.tokens = {begin, begin + n}, .logits_from = n}, kv_->length() + at);
  const bool ends_prompt = kv_->length() + at + n == n_prompt();
  return bound({.tokens = {begin, begin + n},
                .logits_from = at + n == n_missing() ? n - 1 : n,
                .n_kept = ends_prompt && !kv_->is_pruned() ? n_kept_ : 0,
                .phase = is_decoding() ? decode::Phase::decode : decode::Phase::prompt});
}

decode::Draft Sequence::draft(bool matches, GuessMaker* maker, int64_t most_made) {
  if (!drafter_ && matches) drafter_ = std::make_shared<decode::MatchDrafter>(request_.prediction);
  const int64_t again = std::max<int64_t>(0, n_missing() - 1);
  const int64_t most = std::max<int64_t>(
      0, std::min({DraftGovernor::kMostGuesses - again, request_.max_tokens - n_generated() - 1,
                   limits_.context - std::ssize(timeline_)}));
  decode::Draft draft = drafter_ ? drafter_->draft(timeline_, most) : decode::Draft{};
  most_made = std::min(most_made, most);
  if (most_made > 0 && request_.drafter == nullptr) {
    const std::vector<float> usual(static_cast<size_t>(most_made),
                                   static_cast<float>(maker->cost().chance));
    if (expected(draft.chances) < expected(usual)) {
      if (!made_) made_ = maker->guesses(request_.cache_salt);
      decode::Draft made = made_->draft(timeline_, most_made);
      if (expected(made.chances) > expected(draft.chances)) draft = std::move(made);
    }
  }
  const auto is_none = [&](text::Token token) { return token < 0 || token >= limits_.vocab_size; };
  const int64_t valid = std::ranges::find_if(draft.tokens, is_none) - draft.tokens.begin();
  const auto n =
      static_cast<size_t>(std::min({valid, most, static_cast<int64_t>(std::ssize(draft.chances))}));
  draft.tokens.resize(n);
  draft.chances.resize(n);
  return draft;
}

decode::Row Sequence::row_with(std::span<const text::Token> guesses) {
  decode::Row row = this->row(0, n_missing());
  row.tokens.insert(row.tokens.end(), guesses.begin(), guesses.end());
  row.n_drafted = std::ssize(guesses);
  return row;
}

void Sequence::note_drafted(int64_t guesses, int64_t right) {
  result_.drafted.tokens += guesses;
  result_.drafted.accepted += right;
}

std::optional<decode::Row> Sequence::row_ahead(size_t from) {
  if (pooler_ || n_generated() + 1 >= request_.max_tokens ||
      std::ssize(timeline_) + 1 > limits_.context)
    return std::nullopt;
  return bound({.from = from, .phase = decode::Phase::decode});
}

/// On the stream's thread.
text::Token Sequence::choose(std::span<const float> logits) {
  if (complete_) return sampled_.back();  // nobody looks at what follows the end
  std::span<const float> allowed = logits;
  if (request_.constraint) {
    masked_.assign(logits.begin(), logits.end());
    request_.constraint->mask(masked_);
    allowed = masked_;
  }
  const text::Token token = sampler_.sample(allowed, sampled_, std::ssize(sampled_));
  sampled_.push_back(token);
  if (request_.constraint) complete_ = !request_.constraint->accept(token);
  Chosen chosen{.is_last = complete_};
  if (request_.top_logprobs) {
    chosen.logprob = logprob_of(logits, token);
    chosen.top = top_logprobs(logits, *request_.top_logprobs);
  }
  chosen_.push_back(std::move(chosen));
  return token;
}

std::optional<FinishReason> Sequence::take(text::Token token) {
  if (n_generated() == 0) {
    first_token_ = Clock::now();
    result_.prefill_seconds = seconds(first_token_ - admitted_);
  }
  if (is_cancelled()) return FinishReason::cancelled;
  if (n_generated() >= request_.max_tokens) return FinishReason::max_tokens;  // none was wanted
  if (!request_.ignore_eos && std::ranges::find(tokenizer_.eos(), token) != tokenizer_.eos().end())
    return FinishReason::eos;
  result_.tokens.push_back(token);
  timeline_.push_back(token);
  Chosen chosen = std::move(chosen_.front());
  chosen_.pop_front();
  const bool is_last = chosen.is_last;
  emit(token, stops_.push(detokenizer_.push(token)), std::move(chosen));
  if (stops_.found()) return FinishReason::stop_string;
  if (is_last) return FinishReason::eos;
  if (n_generated() >= request_.max_tokens) return FinishReason::max_tokens;
  if (std::ssize(timeline_) > limits_.context) return FinishReason::context_full;
  return std::nullopt;
}

void Sequence::emit(text::Token token, std::string text, Chosen chosen) {
  result_.text += text;
  Event event{token, std::move(text)};
  if (request_.top_logprobs) {
    event.logprob = chosen.logprob;
    event.top = std::move(chosen.top);
  }
  listener_->on_token(std::move(event));
}

void Sequence::end(FinishReason reason) {
  ended_ = true;
  if (made_ && kv_) made_->end(timeline_);
  made_.reset();
  result_.finish_reason = reason;
  result_.stop_string = stops_.which();
  if (pooler_ && reason != FinishReason::cancelled) result_.vector = pooler_->vector();
  if (kv_) {
    result_.n_held =
        kv_->is_pruned() ? n_prompt() : std::min<int64_t>(kv_->length(), std::ssize(timeline_));
  }
  if (first_token_ != Clock::time_point{}) {
    result_.decode_seconds = seconds(Clock::now() - first_token_);
  } else if (admitted_ != Clock::time_point{}) {
    result_.prefill_seconds = seconds(Clock::now() - admitted_);
  }
  if (!result_.tokens.empty() && !stops_.found()) {
    std::string rest = stops_.push(detokenizer_.finish());
    rest += stops_.finish();
    result_.text += rest;
    if (!rest.empty()) listener_->on_token({-1, std::move(rest)});
  }
  listener_->on_end(std::move(result_));
}

void Sequence::fail(std::exception_ptr error) {
  ended_ = true;
  made_.reset();
  listener_->on_error(std::move(error));
}

}  // namespace sluice::engine
