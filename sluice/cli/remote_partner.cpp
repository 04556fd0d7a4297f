#include "sluice/cli/remote_partner.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/answer_stream.h"
#include "sluice/engine/hub/certificates.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Without a slash and without /v1 at its end.
std::string base_of(std::string url) {
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    fail(ErrorKind::bad_request, "--url {}: has to begin with http:// or https://", url);
  while (url.ends_with('/')) url.pop_back();
  if (url.ends_with("/v1")) url.resize(url.size() - 3);
  return url;
}

/// What curl's callbacks see. No exception may pass through curl.
struct Transfer {
  AnswerStream& stream;
  const std::atomic<bool>& cancel;
  std::exception_ptr error = {};
};

size_t on_body(char* bytes, size_t size, size_t count, void* of) {
  auto& transfer = *static_cast<Transfer*>(of);
  try {
    transfer.stream.push({bytes, size * count});
    return size * count;
  } catch (...) {
    transfer.error = std::current_exception();
    return 0;
  }
}

int on_progress(void* of, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(of)->cancel ? 1 : 0;
}

class RemotePartner : public ChatPartner {
 public:
  explicit RemotePartner(RemoteOptions options)
      : options_(std::move(options)), base_(base_of(options_.url)) {
    static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
    curl_.reset(initialized == CURLE_OK ? curl_easy_init() : nullptr);
    if (!curl_) fail(ErrorKind::internal, "libcurl cannot be used");
    add_header("Content-Type: application/json");
    if (!options_.api_key.empty()) add_header("Authorization: Bearer " + options_.api_key);
  }

  ChatAnswer answer(const Json& messages, const std::function<void(std::string_view)>& on_text,
                    const std::atomic<bool>& cancel) override {
    AnswerStream stream(on_text);
    Transfer transfer{stream, cancel};
    const long status = post(body_of(messages), transfer);
    if (transfer.error) rethrow(transfer.error);
    ChatAnswer answer = stream.answer();
    if (cancel) {
      answer.finish_reason = engine::FinishReason::cancelled;
      return answer;
    }
    if (status != 200) {
      const std::string why = error_of(Json::parse(stream.whole(), nullptr, false));
      fail(status >= 500 ? ErrorKind::io : ErrorKind::bad_request, "{}: {} {}", base_, status,
           printable(why));
    }
    if (!stream.done()) fail(ErrorKind::io, "{}: the answer broke off", base_);
    return answer;
  }

  std::string status(double tokens_per_second) const override {
    return fmt::format(" {} | {:.1f} tok/s ", printable(base_), tokens_per_second);
  }

  std::string stats(const ChatAnswer& last) const override {
    return fmt::format(
        "server     {}\nlast       {} prompt tokens, {} of them reused, {:.1f} tok/s; {} "
        "generated, "
        "{:.1f} tok/s\n",
        printable(base_), last.prompt_tokens, last.reused_tokens, last.prefill_tps,
        last.n_generated, last.decode_tps);
  }

 private:
  void add_header(const std::string& header) {
    curl_slist* const all = curl_slist_append(headers_.get(), header.c_str());
    if (all == nullptr) throw std::bad_alloc();
    (void)headers_.release();
    headers_.reset(all);
  }

  [[noreturn]] void rethrow(const std::exception_ptr& error) const {
    try {
      std::rethrow_exception(error);
    } catch (const Error& wrong) {
      if (wrong.kind() != ErrorKind::io) throw;
      fail(ErrorKind::io, "{}: {}", base_, wrong.what());
    }
  }

  std::string body_of(const Json& messages) const {
    Json body{{"messages", messages},
              {"max_tokens", options_.max_tokens},
              {"stream", true},
              {"stream_options", {{"include_usage", true}}}};
    if (!options_.model.empty()) body["model"] = options_.model;
    const SamplingOptions& sampling = options_.sampling;
    const auto add = [&](const char* name, const auto& value) {
      if (value) body[name] = *value;
    };
    const decode::SamplerConfig resolved = sampling.resolve();
    if (sampling.temperature || resolved.temperature > 0)
      body["temperature"] = resolved.temperature;
    for (const auto& [token, bias] : resolved.logit_bias)
      body["logit_bias"][std::to_string(token)] = bias;
    add("top_k", sampling.top_k);
    add("top_p", sampling.top_p);
    add("min_p", sampling.min_p);
    add("xtc_probability", sampling.xtc_probability);
    add("xtc_threshold", sampling.xtc_threshold);
    add("repetition_penalty", sampling.repetition_penalty);
    add("presence_penalty", sampling.presence_penalty);
    add("frequency_penalty", sampling.frequency_penalty);
    add("repeat_last_n", sampling.penalty_window);
    add("seed", sampling.seed);
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  /// The answer's status. Throws Error(io) where there is none.
  long post(const std::string& body, Transfer& transfer) {
    CURL* const easy = curl_.get();
    curl_easy_reset(easy);
    const std::string url = base_ + "/v1/chat/completions";
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    engine::trust_this_systems_certificates(easy);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
    const CURLcode result = curl_easy_perform(easy);
    const bool ours = transfer.error || transfer.cancel;
    if (result != CURLE_OK && !ours)
      fail(ErrorKind::io, "{}: {}", base_, curl_easy_strerror(result));
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  struct Free {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  const RemoteOptions options_;
  const std::string base_;
  std::unique_ptr<CURL, Free> curl_;
  std::unique_ptr<curl_slist, Free> headers_;
};

}  // namespace

std::unique_ptr<ChatPartner> make_remote_partner(RemoteOptions options) {
  return std::make_unique<RemotePartner>(std::move(options));
}

}  // namespace sluice::cli
