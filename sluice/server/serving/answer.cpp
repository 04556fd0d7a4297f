#include "sluice/server/serving/answer.h"

#include <algorithm>
#include <ctime>
#include <random>
#include <utility>

#include "sluice/server/answers/answer_id.h"

namespace sluice::server {
namespace {

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

uint64_t drawn_seed() {
  std::random_device random;
  return (static_cast<uint64_t>(random()) << 32) | random();
}

}  // namespace

/// Hands what the engine's thread says to the strand.
class Answer::Hearing : public engine::Listener {
 public:
  Hearing(std::shared_ptr<Answer> answer, int choice)
      : answer_(std::move(answer)), choice_(choice) {}

  void on_admitted(int64_t prompt_tokens, int64_t cached_tokens) override {
    post([=](Answer& a, int i) { a.on_admitted(i, prompt_tokens, cached_tokens); });
  }
  void on_prompt(int64_t tokens) override {
    post([=](Answer& a, int i) { a.on_prompt(i, tokens); });
  }
  void on_token(engine::Event event) override {
    post([event = std::move(event)](Answer& a, int i) { a.on_token(i, event); });
  }
  void on_end(engine::Result result) override {
    post([result = std::move(result)](Answer& a, int i) { a.on_choice_end(i, result); });
  }
  void on_error(std::exception_ptr error) override {
    post([error = std::move(error)](Answer& a, int i) { a.on_error(i, error); });
  }

 private:
  template <typename What>
  void post(What what) {
    answer_->exchange_->post(
        [answer = answer_, choice = choice_, what = std::move(what)] { what(*answer, choice); });
  }

  const std::shared_ptr<Answer> answer_;
  const int choice_;
};

Answer::Answer(std::shared_ptr<Exchange> exchange, std::shared_ptr<ServedModel> model, Asked asked,
               Observer& observer)
    : exchange_(std::move(exchange)),
      model_(std::move(model)),
      ask_(std::move(asked.ask)),
      writer_(std::move(asked.writer)),
      warnings_(std::move(asked.warnings)),
      observer_(observer) {}

void Answer::begin() {
  Prompt prompt = model_->prompt_of(ask_);
  const int64_t prompt_tokens = std::ssize(prompt.tokens);
  if (ask_.job != Job::answer) {
    tell_head(prompt_tokens, 0);
    if (ask_.job == Job::render) writer_->piece({.text = prompt.text}, whole_);
    writer_->finish(usage_, whole_);
    exchange_->reply({.content_type = writer_->content_type(), .body = std::move(whole_)});
    return;
  }
  const int64_t max_tokens = model_->room_after(ask_, prompt_tokens);
  const auto* text = std::get_if<Ask::Text>(&ask_.prompt);
  if (text != nullptr && text->echo) echo_ = prompt.text;
  begin_generations(prompt, max_tokens);
  exchange_->watch(shared_from_this());
  if (!ask_.stream) return;
  exchange_->start(writer_->content_type(), warnings());
}

Headers Answer::warnings() const {
  Headers headers;
  for (const std::string& warning : warnings_) headers.emplace_back("x-sluice-warning", warning);
  return headers;
}

void Answer::begin_generations(const Prompt& prompt, int64_t max_tokens) {
  for (int i = 0; i < ask_.n; ++i) {
    Choice& choice = choices_.emplace_back(prompt.markup);
    choice.progress.prompt_tokens = std::ssize(prompt.tokens);
    choice.progress.max_tokens = max_tokens;
    if (!prompt.begun.empty()) choice.begun = choice.splitter.push(prompt.begun);
  }
  const uint64_t seed = ask_.seed ? *ask_.seed : drawn_seed();
  try {
    for (int i = 0; i < ask_.n; ++i) {
      engine::Request request = request_of(prompt, max_tokens, i);
      request.sampling.seed = seed + static_cast<uint64_t>(i);
      choices_[static_cast<size_t>(i)].generation = engine::begin_generation(
          model_->engine(), std::move(request), std::make_shared<Hearing>(shared_from_this(), i));
    }
  } catch (...) {
    failed_ = true;
    let_go();
    throw Refusal(refusal_of(std::current_exception()));
  }
}

engine::Request Answer::request_of(const Prompt& prompt, int64_t max_tokens, int /*choice*/) const {
  engine::Request request;
  request.tokens = prompt.tokens;
  request.max_tokens = max_tokens;
  request.sampling = ask_.sampling;
  request.stop = ask_.stop;
  request.stop.insert(request.stop.end(), prompt.stop.begin(), prompt.stop.end());
  request.ignore_eos = ask_.ignore_eos;
  request.continues_text = prompt.continues_text;
  request.top_logprobs = ask_.top_logprobs;
  request.client = exchange_->request().client;
  request.cache_salt = ask_.cache_salt;
  request.constraint = model_->constraint_of(ask_.format, prompt);
  return request;
}

void Answer::tell_head(int64_t prompt_tokens, int64_t cached_tokens) {
  head_told_ = true;
  usage_.prompt_tokens = prompt_tokens;
  usage_.cached_tokens = cached_tokens;
  Head head{.id = new_id(),
            .created = std::time(nullptr),
            .model = ask_.model.empty() ? model_->name() : ask_.model,
            .usage = usage_};
  std::string out;
  writer_->begin(head, out);
  send(out);
}

void Answer::send(const std::string& bytes) {
  if (ask_.stream && ask_.job == Job::answer) {
    exchange_->write(bytes);
  } else {
    whole_ += bytes;
  }
}

void Answer::on_admitted(int index, int64_t prompt_tokens, int64_t cached_tokens) {
  change_progress(choices_[static_cast<size_t>(index)], [&](Progress& progress) {
    progress.state = Progress::State::prefill;
    progress.cached_tokens = progress.prompt_done = cached_tokens;
  });
  if (head_told_ || gone_ || failed_) return;
  usage_.queued_seconds = seconds_between(begun_, Clock::now());
  tell_head(prompt_tokens, cached_tokens);
  for (int i = 0; i < ask_.n; ++i) {
    Choice& choice = choices_[static_cast<size_t>(i)];
    tell(choice, i, std::exchange(choice.begun, {}));
  }
  if (echo_.empty()) return;
  std::string out;
  for (int i = 0; i < ask_.n; ++i) writer_->piece({.choice = i, .text = echo_}, out);
  send(out);
}

void Answer::on_prompt(int index, int64_t tokens) {
  change_progress(choices_[static_cast<size_t>(index)],
                  [&](Progress& progress) { progress.prompt_done = tokens; });
}

void Answer::note_time(Choice& choice) {
  const auto now = Clock::now();
  change_progress(choice, [](Progress& progress) {
    progress.state = Progress::State::decode;
    progress.prompt_done = progress.prompt_tokens;
    ++progress.generated;
  });
  if (!choice.first_token) {
    choice.first_token = now;
    observer_.on_first_token(seconds_between(begun_, now));
  } else {
    observer_.on_next_token(seconds_between(*choice.last_token, now));
  }
  choice.last_token = now;
  const auto limit = ask_.max_decode_ms;
  if (limit && now - *choice.first_token >= std::chrono::milliseconds(*limit)) {
    choice.out_of_time = true;
    choice.generation->cancel();
  }
}

void Answer::on_token(int index, const engine::Event& event) {
  if (gone_ || failed_) return;
  Choice& choice = choices_[static_cast<size_t>(index)];
  note_time(choice);
  if (ask_.top_logprobs && event.logprob) {
    ScoredToken token = model_->scored({event.token, *event.logprob});
    for (const engine::TokenLogprob& other : event.top) token.top.push_back(model_->scored(other));
    choice.scored.push_back(std::move(token));
  }
  const bool was_reasoning = choice.splitter.in_reasoning();
  std::vector<Piece> pieces =
      choice.splitter.push(event.text + std::string(model_->marker(event.token)));
  if (was_reasoning || choice.splitter.in_reasoning()) ++usage_.reasoning_tokens;
  tell(choice, index, std::move(pieces));
}

void Answer::tell(Choice& choice, int index, std::vector<Piece> pieces) {
  if (pieces.empty()) return;
  pieces.front().tokens = std::exchange(choice.scored, {});
  std::string out;
  for (Piece& piece : pieces) {
    piece.choice = index;
    writer_->piece(piece, out);
  }
  send(out);
}

void Answer::on_choice_end(int index, const engine::Result& result) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  change_progress(choice, [](Progress& progress) { progress.ended = true; });
  usage_.completion_tokens += std::ssize(result.tokens);
  usage_.prefill_seconds = std::max(usage_.prefill_seconds, result.prefill_seconds);
  usage_.decode_seconds = std::max(usage_.decode_seconds, result.decode_seconds);
  if (!gone_ && !failed_) {
    tell(choice, index, choice.splitter.finish());
    if (!choice.scored.empty()) tell(choice, index, {Piece{}});
    Ending ending{
        .choice = index,
        .reason = choice.out_of_time ? engine::FinishReason::max_tokens : result.finish_reason,
        .called_tools = choice.splitter.n_calls() > 0,
        .stop_string = result.stop_string};
    std::string out;
    writer_->end(ending, out);
    send(out);
  }
  finish();
}

void Answer::on_error(int index, const std::exception_ptr& error) {
  change_progress(choices_[static_cast<size_t>(index)],
                  [](Progress& progress) { progress.ended = true; });
  if (!gone_ && !std::exchange(failed_, true)) {
    const Refusal refusal = refusal_of(error);
    if (ask_.stream) {
      std::string out;
      writer_->fail(refusal, out);
      exchange_->write(out);
      exchange_->finish();
    } else {
      exchange_->reply(observer_.refuse(exchange_->request(), refusal));
    }
    cancel_all();
  }
  finish();
}

/// Once all generations have ended.
void Answer::finish() {
  if (ended_ || !all_ended()) return;
  ended_ = true;
  if (!gone_ && !failed_) {
    std::string out;
    writer_->finish(usage_, out);
    send(out);
    if (!ask_.stream)
      exchange_->reply({.content_type = writer_->content_type(),
                        .body = std::move(whole_),
                        .headers = warnings()});
  }
  exchange_->finish();
  exchange_->watch(nullptr);
  observer_.on_end(*this);
  let_go();
}

bool Answer::all_ended() const {
  return std::ranges::all_of(choices_, [](const Choice& c) { return c.progress.ended; });
}

/// Generations hold their listeners, which hold this.
void Answer::let_go() {
  for (Choice& choice : choices_) choice.generation.reset();
}

void Answer::on_gone() {
  gone_ = true;
  cancel_all();
}

void Answer::cancel_all() {
  for (Choice& choice : choices_) {
    if (choice.generation && !choice.progress.ended) choice.generation->cancel();
  }
}

void Answer::on_slow(bool slow) {
  for (Choice& choice : choices_) {
    if (choice.generation && !choice.progress.ended) choice.generation->set_paused(slow);
  }
}

void Answer::on_quiet() {
  if (ask_.stream && !ended_) exchange_->write(writer_->keep_alive());
}

std::vector<Progress> Answer::progress() const {
  const std::lock_guard lock(progress_mutex_);
  std::vector<Progress> all;
  for (const Choice& choice : choices_) {
    if (choice.progress.ended) continue;
    all.push_back(choice.progress);
    all.back().seconds = seconds_between(begun_, Clock::now());
  }
  return all;
}

}  // namespace sluice::server
