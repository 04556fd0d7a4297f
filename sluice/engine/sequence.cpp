#include "sluice/engine/sequence.h"

#include <algorithm>
#include <utility>

#include "sluice/engine/logprobs.h"

namespace sluice::engine {
namespace {

double seconds(Sequence::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Sequence::Sequence(Request request, std::shared_ptr<Listener> listener,
                   const text::Tokenizer& tokenizer, int64_t context)
    : request_(std::move(request)),
      listener_(std::move(listener)),
      tokenizer_(tokenizer),
      context_(context),
      timeline_(request_.tokens),
      detokenizer_(tokenizer, request_.continues_text ? text::Detokenizer::Place::continuation
                                                      : text::Detokenizer::Place::start),
      stops_(request_.stop),
      arrived_(Clock::now()),
      sampler_(request_.sampling),
      sampled_(request_.tokens) {
  result_.prompt_tokens = n_prompt();
}

bool Sequence::is_cancelled() const {
  return cancelled_ || (request_.cancel != nullptr && request_.cancel->load());
}

void Sequence::activate(nn::KvCache kv) {
  kv_.emplace(std::move(kv));
  if (admitted_ != Clock::time_point{}) return;
  admitted_ = Clock::now();
  result_.reused_tokens = kv_->length();
  result_.queued_seconds = seconds(admitted_ - arrived_);
  listener_->on_admitted(n_prompt(), kv_->length());
}

/// With what decides its token and ends it.
decode::Row Sequence::bound(decode::Row row) {
  row.kv = &*kv_;
  row.choose = [this](int64_t, std::span<const float> logits) { return choose(logits); };
  row.cancel = request_.cancel != nullptr ? request_.cancel : &cancelled_;
  return row;
}

decode::Row Sequence::row(int64_t at, int64_t n) {
  const auto begin = timeline_.begin() + kv_->length() + at;
  return bound({.tokens = {begin, begin + n},
                .logits_from = at + n == n_missing() ? n - 1 : n,
                .phase = is_decoding() ? decode::Phase::decode : decode::Phase::prompt});
}

std::optional<decode::Row> Sequence::row_ahead(size_t from) {
  if (n_generated() + 1 >= request_.max_tokens || std::ssize(timeline_) + 1 > context_)
    return std::nullopt;
  return bound({.from = from, .phase = decode::Phase::decode});
}

/// On the stream's thread.
text::Token Sequence::choose(std::span<const float> logits) {
  if (complete_) return sampled_.back();  // a step ahead, which nobody looks at
  std::span<const float> allowed = logits;
  if (request_.constraint) {
    masked_.assign(logits.begin(), logits.end());
    request_.constraint->mask(masked_);
    allowed = masked_;
  }
  const text::Token token = sampler_.sample(allowed, sampled_, std::ssize(sampled_));
  sampled_.push_back(token);
  if (request_.constraint) complete_ = !request_.constraint->accept(token);
  if (request_.top_logprobs)
    chosen_ = Chosen{logprob_of(logits, token), top_logprobs(logits, *request_.top_logprobs)};
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
  emit(token, stops_.push(detokenizer_.push(token)),
       std::exchange(chosen_, std::nullopt).value_or(Chosen{}));
  if (stops_.found()) return FinishReason::stop_string;
  if (complete_) return FinishReason::eos;
  if (n_generated() >= request_.max_tokens) return FinishReason::max_tokens;
  if (std::ssize(timeline_) > context_) return FinishReason::context_full;
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
  result_.finish_reason = reason;
  result_.stop_string = stops_.which();
  if (kv_) result_.n_held = std::min<int64_t>(kv_->length(), std::ssize(timeline_));
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
  listener_->on_error(std::move(error));
}

}  // namespace sluice::engine
