#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sluice/engine/generation.h"

namespace sluice::engine {

/// Keeps what it hears.
class Recorder : public Listener {
 public:
  explicit Recorder(std::function<void()> on_token = {}) : on_token_(std::move(on_token)) {}
  void on_admitted(int64_t, int64_t cached) override {
    const std::lock_guard lock(mutex_);
    cached_ = cached;
  }
  void on_token(Event event) override {
    const std::lock_guard lock(mutex_);
    tokens_.push_back(event.token);
    text_ += event.text;
    if (on_logprob && event.logprob) on_logprob(*event.logprob);
    if (on_token_) on_token_();
    told_.notify_all();
  }
  void on_end(Result result) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(result_ || error_) << "exactly one end";
    result_ = std::move(result);
    told_.notify_all();
  }
  void on_error(std::exception_ptr error) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(result_ || error_) << "exactly one end";
    error_ = std::move(error);
    told_.notify_all();
  }

  Result wait() {
    std::unique_lock lock(mutex_);
    told_.wait(lock, [this] { return result_ || error_; });
    if (error_) std::rethrow_exception(error_);
    EXPECT_EQ(text_, result_->text);
    return *result_;
  }
  void wait_for_tokens(size_t n) {
    std::unique_lock lock(mutex_);
    told_.wait(lock, [&] { return tokens_.size() >= n || result_ || error_; });
  }
  int64_t cached() {
    const std::lock_guard lock(mutex_);
    return cached_;
  }
  size_t n_tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_.size();
  }

  using OnLogprob = std::function<void(float)>;
  OnLogprob on_logprob;  ///< set before the first token

 private:
  std::mutex mutex_;
  std::condition_variable told_;
  std::function<void()> on_token_;
  std::vector<text::Token> tokens_;
  std::string text_;
  int64_t cached_ = -1;
  std::optional<Result> result_;
  std::exception_ptr error_;
};

inline Result generated(Engine& engine, const Request& request) {
  const auto recorder = std::make_shared<Recorder>();
  const auto generation = begin_generation(engine, request, recorder);
  return recorder->wait();
}

/// Answers that are asked for at once.
class AskedAtOnce {
 public:
  AskedAtOnce(Engine& engine, const std::vector<Request>& requests) {
    for (const Request& request : requests) {
      recorders_.push_back(std::make_shared<Recorder>());
      generations_.push_back(begin_generation(engine, request, recorders_.back()));
    }
  }
  /// To the i-th request.
  Result wait(size_t i) const { return recorders_[i]->wait(); }

 private:
  std::vector<std::shared_ptr<Recorder>> recorders_;
  std::vector<std::unique_ptr<Generation>> generations_;
};

}  // namespace sluice::engine
