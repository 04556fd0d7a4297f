#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::engine {

/// How one request ended, or as far as it is known while its body arrives.
struct HttpResponse {
  int status = 0;             ///< 0 when the connection failed before an answer
  std::string etag;           ///< "" when none was sent
  std::string content_range;  ///< "bytes 100-199/200"
  std::chrono::seconds retry_after{0};
  std::string failure;     ///< what broke the transfer, "" when it ended well
  bool hopeless = false;   ///< trying again cannot help: bad URL, untrusted certificate
  bool elsewhere = false;  ///< a redirect led to another origin, which answered
};

/// What a request carries.
struct HttpBody {
  std::string method;  ///< POST or PUT
  std::string type;    ///< Content-Type
  std::string text = {};
  std::filesystem::path file = {};  ///< in place of text: bytes of this file ...
  uint64_t offset = 0, bytes = 0;   ///< ... from `offset` on
};

struct HttpRequest {
  std::string url;
  std::optional<HttpBody> body;  ///< none: GET
  uint64_t range_start = 0;      ///< asks for the bytes from here on ...
  uint64_t range_end = 0;        ///< ... and before here; 0: to the end
  std::string if_range;          ///< an ETag: the whole file is sent when it no longer holds
  /// Gets the body of a 2xx answer piece by piece; false ends the transfer (failure is set).
  std::function<bool(const HttpResponse&, std::string_view)> on_body;
  std::function<void(uint64_t)>
      on_sent;  ///< may be empty: told how many bytes of the body are sent
  std::function<void(const HttpResponse&)> on_done;
};

/// Requests side by side on one thread (libcurl's multi interface). Redirects are followed here
/// and not by libcurl, so that the token goes to the origin it is for and to no other, whatever
/// libcurl's version, https never turns into http, and a body goes on only where the server asks for the same request.
class HttpClient {
 public:
  struct Options {
    std::string token;               ///< sent as a bearer token to token_url's origin; "" for none
    std::string token_url;           ///< any URL of that origin
    std::string page;                ///< where a user asks for access, for messages
    std::chrono::seconds stall{30};  ///< a transfer slower than 1000 B/s for so long fails
  };

  /// Throws Error(bad_request) for a token that is not one line of printable ASCII.
  explicit HttpClient(Options options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Throws Error(bad_request) when the URL is not http or https.
  void start(HttpRequest request);

  /// Moves data for at most `wait`, calling on_body and on_done. What they throw comes out here.
  void poll(std::chrono::milliseconds wait);

  /// Drops every transfer; their callbacks are not called any more.
  void cancel() noexcept;

  size_t active() const { return transfers_.size(); }
  const Options& options() const { return options_; }

 private:
  struct Transfer;
  void begin(Transfer& transfer);
  void finish(std::list<std::unique_ptr<Transfer>>::iterator transfer, int result);

  Options options_;
  std::string token_origin_;
  void* multi_;
  std::list<std::unique_ptr<Transfer>> transfers_;
};

/// Drops the transfers of a client when the frame that their callbacks point into is left.
struct CancelTransfers {
  HttpClient& client;
  ~CancelTransfers() { client.cancel(); }
};

/// "https://host:443" of a URL. Throws Error(bad_request) unless it is a full http or https URL.
std::string url_origin(const std::string& url);

/// A path component with everything but letters, digits and "-._~" percent-encoded.
std::string url_escape(std::string_view component);

}  // namespace sluice::engine
