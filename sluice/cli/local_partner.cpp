#include "sluice/cli/local_partner.h"

#include <fmt/format.h>

#include <utility>

#include "sluice/cli/residency_report.h"
#include "sluice/cli/sampling_options.h"

namespace sluice::cli {
namespace {

class LocalPartner : public ChatPartner {
 public:
  LocalPartner(engine::Engine& engine, LocalOptions options)
      : options_(std::move(options)),
        engine_(engine),
        session_(engine),
        format_(engine.tokenizer(), engine.chat_template(), options_.prompt) {}

  ChatAnswer answer(const nlohmann::ordered_json& messages,
                    const std::function<void(std::string_view)>& on_text,
                    const std::atomic<bool>& cancel) override {
    engine::Request request;
    request.tokens = format_.encode(format_.render(messages));
    request.max_tokens = options_.max_tokens;
    request.sampling = options_.sampling;
    request.stop = format_.stops();
    request.cancel = &cancel;
    streamed_before_ = engine_.statistics();
    const engine::Result result =
        session_.generate(request, [&](const engine::Event& event) { on_text(event.text); });
    return {.text = result.text,
            .finish_reason = result.finish_reason,
            .prompt_tokens = result.prompt_tokens,
            .reused_tokens = result.reused_tokens,
            .n_generated = std::ssize(result.tokens),
            .prefill_tps = result.prefill_tps(),
            .decode_tps = result.decode_tps()};
  }

  void reset() override { session_.reset(); }

  std::string greeting() const override {
    if (format_.has_template()) return "";
    return "This model has no chat template (a base model): turns are written as \"User: ...\" and "
           "\"Assistant: ...\".";
  }

  std::string status(double tokens_per_second) const override {
    std::string streaming;
    if (const auto now = engine_.statistics())
      streaming = "| " + streaming_line(streamed_before_ ? *now - *streamed_before_ : *now) + " ";
    return fmt::format(" {} of {} tokens | {:.1f} tok/s | KV {} | peak memory {} {}",
                       session_.tokens().size(), engine_.context(), tokens_per_second,
                       to_string(engine_.kv_bytes()), to_string(Bytes{peak_rss_bytes()}),
                       streaming);
  }

  std::string stats(const ChatAnswer& last) const override {
    const auto seed = seed_of(options_.sampling);
    return fmt::format(
        "context    {} of {} tokens\nKV         {}\nlast       {} prompt tokens, {} of them "
        "reused, {:.1f} tok/s; "
        "{} generated, {:.1f} tok/s\nmemory     {} peak, model file {}\nloading    {:.0f} ms\n{}",
        session_.tokens().size(), engine_.context(), to_string(engine_.kv_bytes()),
        last.prompt_tokens, last.reused_tokens, last.prefill_tps, last.n_generated, last.decode_tps,
        to_string(Bytes{peak_rss_bytes()}), to_string(engine_.file_bytes()),
        engine_.load_seconds() * 1e3, seed ? fmt::format("seed       {}\n", *seed) : "");
  }

 private:
  const LocalOptions options_;
  engine::Engine& engine_;
  engine::Session session_;
  ChatFormat format_;
  std::optional<residency::StreamStatistics> streamed_before_;  // this answer
};

}  // namespace

std::unique_ptr<ChatPartner> make_local_partner(engine::Engine& engine, LocalOptions options) {
  return std::make_unique<LocalPartner>(engine, std::move(options));
}

}  // namespace sluice::cli
