#include "python/bindings/mailbox.h"

#include <unistd.h>

#include <utility>

namespace sluice::python {

void Mailbox::told() {
  changed_.notify_all();
  // Where the pipe is full, its reader has enough to wake up for.
  if (descriptor_ >= 0) (void)!write(descriptor_, "", 1);
}

void Mailbox::on_admitted(int64_t prompt_tokens, int64_t cached_tokens) {
  const std::lock_guard lock(mutex_);
  prompt_tokens_ = prompt_tokens;
  messages_.emplace_back(Progress{cached_tokens, prompt_tokens});
  told();
}

void Mailbox::on_prompt(int64_t tokens) {
  const std::lock_guard lock(mutex_);
  messages_.emplace_back(Progress{tokens, prompt_tokens_});
  told();
}

void Mailbox::on_token(engine::Event event) {
  const std::lock_guard lock(mutex_);
  Floats logits;
  if (event.token >= 0 && !logits_.empty()) {
    logits = std::move(logits_.front());
    logits_.pop_front();
  }
  messages_.emplace_back(Chosen{std::move(event), std::move(logits)});
  told();
}

void Mailbox::on_end(engine::Result result) {
  const std::lock_guard lock(mutex_);
  result_ = std::move(result);
  told();
}

void Mailbox::on_error(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  told();
}

void Mailbox::put_logits(Floats logits) {
  const std::lock_guard lock(mutex_);
  logits_.push_back(std::move(logits));
}

std::optional<Message> Mailbox::next(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, most, [this] { return !messages_.empty() || result_ || error_; });
  if (messages_.empty()) return std::nullopt;
  Message message = std::move(messages_.front());
  messages_.pop_front();
  return message;
}

bool Mailbox::has_ended() const {
  const std::lock_guard lock(mutex_);
  return messages_.empty() && (result_ || error_);
}

const engine::Result& Mailbox::result() const {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
  return *result_;
}

Floats Mailbox::take_end_logits() {
  const std::lock_guard lock(mutex_);
  if (logits_.empty()) return nullptr;
  Floats logits = std::move(logits_.front());
  logits_.clear();
  return logits;
}

void Mailbox::notify(int descriptor) {
  const std::lock_guard lock(mutex_);
  descriptor_ = descriptor;
  if (!messages_.empty() || result_ || error_) told();
}

}  // namespace sluice::python
