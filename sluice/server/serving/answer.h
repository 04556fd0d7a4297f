#pragma once

#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/engine/generation.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/http/exchange.h"
#include "sluice/server/serving/served_model.h"

namespace sluice::server {

/// How far one of an answer's generations is, for those who watch the server.
struct Progress {
  enum class State { waiting, prefill, decode };
  State state = State::waiting;
  int64_t prompt_tokens = 0, cached_tokens = 0, prompt_done = 0, generated = 0, max_tokens = 0;
  double seconds = 0;  ///< since it was asked for
  bool ended = false;
};

/// Answers one Ask: n generations, whose tokens go through a Splitter to the dialect's Writer, and what that writes to
/// the client. All of it happens on the exchange's strand, to which the engine's thread posts.
///   begun -> admitted (the head is told) -> ended, when all generations have or one has failed
class Answer : public Exchange::Watcher, public std::enable_shared_from_this<Answer> {
 public:
  /// What the server wants to hear; on the strand.
  class Observer {
   public:
    virtual ~Observer() = default;
    /// The shape of an error, before the head was told.
    virtual Reply refuse(const HttpRequest& request, const Refusal& refusal) = 0;
    virtual void on_prompt(const Answer& answer, std::string_view prompt) = 0;
    virtual void on_first_token(double seconds) = 0;  ///< since the answer was begun
    virtual void on_next_token(double seconds) = 0;   ///< since the one before
    virtual void on_end(const Answer& answer) = 0;    ///< exactly once
  };

  Answer(std::shared_ptr<Exchange> exchange, std::shared_ptr<ServedModel> model, Asked asked,
         Observer& observer);

  /// Throws Refusal where it cannot be answered; then on_end() is not called.
  void begin();

  void on_gone() override;
  void on_slow(bool slow) override;
  void on_quiet() override;

  const HttpRequest& request() const { return exchange_->request(); }
  const std::string& model_name() const { return model_->name(); }
  int64_t context() const { return model_->info().context; }
  const Usage& usage() const { return usage_; }
  int n() const { return ask_.n_choices(); }
  const Ask& ask() const { return ask_; }
  /// Filled once it has been told to its end.
  const std::shared_ptr<KeptResponse>& kept() const { return kept_; }
  /// Of those that have not ended. From any thread.
  std::vector<Progress> progress() const;

 private:
  using Clock = std::chrono::steady_clock;
  class Hearing;
  struct Choice {
    explicit Choice(const Markup& markup) : splitter(make_splitter(markup)) {}
    std::unique_ptr<Splitter> splitter;
    std::unique_ptr<engine::Generation> generation;
    std::vector<ScoredToken> scored;  // not yet told
    std::vector<Piece> begun;         // by the prompt
    std::optional<Clock::time_point> first_token, last_token;
    Progress progress;
    bool out_of_time = false;
    bool has_enough = false;  ///< one call was asked for, and is told
  };

  void send(const std::string& bytes);
  Headers warnings() const;
  void tell_prompt(const Prompt& prompt);
  void echo(const std::vector<Prompt>& prompts);
  void begin_generations(const std::vector<Prompt>& prompts);
  engine::Request request_of(const Prompt& prompt) const;
  void tell_head();
  void tell(Choice& choice, int index, std::vector<Piece> pieces);
  void on_admitted(int index, int64_t cached_tokens);
  void on_prompt(int index, int64_t tokens);
  void on_token(int index, const engine::Event& event);
  void on_choice_end(int index, const engine::Result& result);
  void on_error(int index, const std::exception_ptr& error);
  template <typename Change>
  void change_progress(Choice& choice, Change change) {
    const std::lock_guard lock(progress_mutex_);
    change(choice.progress);
  }
  bool all_ended() const;
  void cancel_all();
  void note_time(Choice& choice);
  bool wants_one_call() const;
  void finish();
  void let_go();

  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<ServedModel> model_;
  const Ask ask_;
  const std::unique_ptr<Writer> writer_;
  const std::vector<std::string> warnings_;
  const std::shared_ptr<KeptResponse> kept_;
  Observer& observer_;
  const Clock::time_point begun_ = Clock::now();
  std::deque<Choice> choices_;
  mutable std::mutex progress_mutex_;  // of each choice's progress
  std::string whole_;                  // what is told at the end, unless the answer is a stream
  std::vector<Piece> echo_;            // the prompts, where the answer begins with them
  Usage usage_;
  bool head_told_ = false, gone_ = false, failed_ = false, ended_ = false;
};

}  // namespace sluice::server
