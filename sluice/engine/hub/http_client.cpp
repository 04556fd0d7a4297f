#include "sluice/engine/hub/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <exception>
#include <optional>
#include <span>

#include "sluice/base/error.h"
#include "sluice/engine/hub/certificates.h"
#include "sluice/io/file.h"

namespace sluice::engine {
namespace {

constexpr int kMaxRedirects = 8;
constexpr long kConnectSeconds = 20;
constexpr long kSlowestBytesPerSecond = 1000;
constexpr size_t kMaxHeaderValue = 1024;

struct FreeUrl {
  void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
};

std::string url_part(CURLU* url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string result(text);
  curl_free(text);
  return result;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// A redirect stays on the web and never leaves encryption.
bool may_lead(std::string_view from, std::string_view to) {
  return to.starts_with("https:") || (to.starts_with("http:") && from.starts_with("http:"));
}

bool is_hopeless(CURLcode result) {
  return result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL ||
         result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
}

}  // namespace

/// One request through all its redirects. It stays at its address: libcurl keeps pointers to it.
struct HttpClient::Transfer {
  HttpRequest request;
  std::string url;  // of the present hop
  int redirects = 0;
  HttpResponse response;
  std::exception_ptr thrown;
  bool refused = false;  // on_body returned false
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_text{};
  std::optional<io::File> file;  // the body's
  uint64_t sent = 0;

  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }

  void add_header(const std::string& line) {
    curl_slist* extended = curl_slist_append(headers, line.c_str());
    if (extended == nullptr) throw std::bad_alloc();
    headers = extended;
  }

  void read_header(std::string_view line) {
    if (line.starts_with("HTTP/")) response = {};
    const size_t colon = line.find(':');
    if (colon == line.npos || line.size() > kMaxHeaderValue) return;
    const std::string name = lower(std::string(line.substr(0, colon)));
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && std::isspace(static_cast<unsigned char>(value.front())))
      value.remove_prefix(1);
    while (!value.empty() && std::isspace(static_cast<unsigned char>(value.back())))
      value.remove_suffix(1);
    if (name == "etag") response.etag = value;
    if (name == "content-range") response.content_range = value;
    if (name == "retry-after") {  // a date, its other form, reads as no wait
      int seconds = 0;
      std::from_chars(value.data(), value.data() + value.size(), seconds);
      response.retry_after = std::chrono::seconds(std::clamp(seconds, 0, 60));
    }
  }

  bool read_body(std::string_view data) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
    if (status / 100 != 2) return true;  // an error page, or a redirect's
    refused = !request.on_body(response, data);
    return !refused;
  }

  uint64_t body_bytes() const {
    const HttpBody& body = *request.body;
    return body.file.empty() ? body.text.size() : body.bytes;
  }

  size_t write_body(std::span<char> out) {
    const HttpBody& body = *request.body;
    const auto n = static_cast<size_t>(std::min<uint64_t>(out.size(), body_bytes() - sent));
    if (file) {
      file->read(body.offset + sent, std::as_writable_bytes(out.first(n)));
    } else {
      std::copy_n(body.text.data() + sent, n, out.data());
    }
    sent += n;
    if (request.on_sent) request.on_sent(sent);
    return n;
  }

  void prepare_body() {
    const HttpBody& body = *request.body;
    add_header("Content-Type: " + body.type);
    add_header("Expect:");  // none is waited for
    if (!body.file.empty()) file.emplace(io::File::open(body.file));
    sent = 0;
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, body.method.c_str());
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body_bytes()));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &Transfer::on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, this);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &Transfer::on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, this);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
  }

  // libcurl is C: no exception may pass through it.
  static size_t on_read(char* data, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    try {
      return transfer->write_body({data, size * count});
    } catch (...) {
      transfer->thrown = std::current_exception();
      return CURL_READFUNC_ABORT;
    }
  }
  /// A connection that was kept can turn out to be closed: the body begins again.
  static int on_seek(void* self, curl_off_t offset, int origin) {
    auto* transfer = static_cast<Transfer*>(self);
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
    transfer->sent = static_cast<uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
  }
  static size_t on_header(char* data, size_t, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    try {
      transfer->read_header({data, count});
      return count;
    } catch (...) {
      transfer->thrown = std::current_exception();
      return 0;
    }
  }
  static size_t on_write(char* data, size_t, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    try {
      if (transfer->read_body({data, count})) return count;
    } catch (...) {
      transfer->thrown = std::current_exception();
    }
    return CURL_WRITEFUNC_ERROR;
  }
};

std::string url_origin(const std::string& text) {
  const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
  const bool parsed = url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  const std::string scheme = parsed ? lower(url_part(url.get(), CURLUPART_SCHEME)) : "";
  if (scheme != "http" && scheme != "https") {
    fail(ErrorKind::bad_request, "'{}' is no http:// or https:// address", text);
  }
  return fmt::format("{}://{}:{}", scheme, lower(url_part(url.get(), CURLUPART_HOST)),
                     url_part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

std::string url_escape(std::string_view component) {
  std::string escaped;
  for (const char c : component) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 &&
        (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos)) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", byte);
    }
  }
  return escaped;
}

HttpClient::HttpClient(Options options) : options_(std::move(options)) {
  if (!std::all_of(options_.token.begin(), options_.token.end(),
                   [](char c) { return c > 0x20 && c < 0x7f; })) {
    fail(ErrorKind::bad_request, "the access token is not one line of printable characters");
  }
  if (!options_.token.empty()) token_origin_ = url_origin(options_.token_url);
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  multi_ = initialized == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi_ == nullptr) fail(ErrorKind::internal, "libcurl cannot start");
}

HttpClient::~HttpClient() {
  cancel();
  curl_multi_cleanup(multi_);
}

void HttpClient::cancel() noexcept {
  for (const auto& transfer : transfers_) curl_multi_remove_handle(multi_, transfer->easy);
  transfers_.clear();
}

void HttpClient::start(HttpRequest request) {
  url_origin(request.url);  // checks it
  auto transfer = std::make_unique<Transfer>();
  transfer->url = request.url;
  transfer->request = std::move(request);
  transfer->easy = curl_easy_init();
  if (transfer->easy == nullptr) fail(ErrorKind::internal, "libcurl cannot make a transfer");
  begin(*transfer);
  transfers_.push_back(std::move(transfer));
}

void HttpClient::begin(Transfer& transfer) {
  CURL* easy = transfer.easy;
  curl_easy_reset(easy);  // nothing of the hop before stays
  curl_slist_free_all(std::exchange(transfer.headers, nullptr));
  transfer.response = {};
  const HttpRequest& request = transfer.request;
  if (!token_origin_.empty() && url_origin(transfer.url) == token_origin_) {
    transfer.add_header("Authorization: Bearer " + options_.token);
  }
  if (request.range_start > 0 || request.range_end > 0) {
    transfer.add_header(
        request.range_end > 0
            ? fmt::format("Range: bytes={}-{}", request.range_start, request.range_end - 1)
            : fmt::format("Range: bytes={}-", request.range_start));
    if (!request.if_range.empty()) transfer.add_header("If-Range: " + request.if_range);
  }
  if (request.body) transfer.prepare_body();
  curl_easy_setopt(easy, CURLOPT_URL, transfer.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  trust_this_systems_certificates(easy);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice");
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, kSlowestBytesPerSecond);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall.count()));
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error_text.data());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::on_write);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  if (curl_multi_add_handle(multi_, easy) != CURLM_OK)
    fail(ErrorKind::internal, "libcurl refuses a transfer");
}

void HttpClient::poll(std::chrono::milliseconds wait) {
  int running = 0;
  curl_multi_perform(multi_, &running);
  if (running > 0) {
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait.count()), nullptr);
    curl_multi_perform(multi_, &running);
  }
  int queued = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    const auto transfer = std::find_if(
        transfers_.begin(), transfers_.end(),
        [&](const auto& candidate) { return candidate->easy == message->easy_handle; });
    curl_multi_remove_handle(multi_, message->easy_handle);
    if (transfer != transfers_.end()) finish(transfer, result);
  }
}

void HttpClient::finish(std::list<std::unique_ptr<Transfer>>::iterator at, int code) {
  const auto result = static_cast<CURLcode>(code);
  Transfer& transfer = **at;
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  HttpResponse& response = transfer.response;
  response.status =
      status < 200 ? 0 : static_cast<int>(status);  // 1xx: broken off before an answer
  response.elsewhere =
      transfer.redirects > 0 && url_origin(transfer.url) != url_origin(transfer.request.url);
  if (result != CURLE_OK) {
    response.failure = transfer.refused              ? "the answer was refused"
                       : transfer.error_text[0] != 0 ? transfer.error_text.data()
                                                     : curl_easy_strerror(result);
    response.hopeless = is_hopeless(result);
  } else if (is_redirect(status)) {
    const char* target = nullptr;
    curl_easy_getinfo(transfer.easy, CURLINFO_REDIRECT_URL, &target);
    const std::string next = target == nullptr ? "" : target;
    const bool same_request = !transfer.request.body || status == 307 || status == 308;
    if (same_request && may_lead(transfer.url, next) && ++transfer.redirects <= kMaxRedirects) {
      transfer.url = next;
      begin(transfer);
      return;
    }
    response.failure = "the redirect leads nowhere, in circles or to an unencrypted address";
    response.hopeless = true;
  }
  // Out of the list first: on_done may start the next transfer, or throw.
  const std::unique_ptr<Transfer> done = std::move(*at);
  transfers_.erase(at);
  if (done->thrown) std::rethrow_exception(done->thrown);
  done->request.on_done(done->response);
}

}  // namespace sluice::engine
