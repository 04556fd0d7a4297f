#include "sluice/engine/hub/download.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include "sluice/base/digest.h"
#include "sluice/base/error.h"
#include "sluice/engine/hub/exchange.h"
#include "sluice/io/file.h"

namespace sluice::engine {
namespace fs = std::filesystem;
namespace {

/// So much more than ever before is progress. Less does not reset the count of tries, or a server that
/// sends a little, or the same again and again, could hold us forever.
constexpr uint64_t kProgressBytes = 64 << 10;
/// Of a file's beginning, as many as tell what was sent in its place.
constexpr size_t kTellingBytes = 64;

fs::path with_suffix(const fs::path& path, const char* suffix) { return fs::path(path) += suffix; }
fs::path partial_path(const Download& d) { return with_suffix(d.path, ".partial"); }
/// Beside a partial file: a line that says of which content it is a part, a line with its ETag.
fs::path note_path(const Download& d) { return with_suffix(d.path, ".partial.note"); }

std::string content_id(const Download& d) {
  return fmt::format("{} {}", d.bytes, d.sha256.empty() ? d.git_sha1 : d.sha256);
}

Digest digest_of(const Download& d) {
  return d.sha256.empty() ? Digest::git_blob(d.bytes) : Digest::sha256();
}

/// What came in a file's place, by its first bytes: a store without large files, or a network that wants a login
/// first, answers 200 all the same. "" when it may be the file.
std::string_view impostor(std::string_view beginning, const std::string& name) {
  if (beginning.starts_with("version https://git-lfs.github.com/spec/"))
    return "a Git LFS pointer: the hub has no more than a note of where the file is kept";
  std::string start(beginning.substr(0, beginning.find('>')));
  for (char& c : start) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const size_t text = start.find_first_not_of(" \t\r\n");
  const std::string_view tag = std::string_view(start).substr(std::min(text, start.size()));
  if ((tag.starts_with("<!doctype html") || tag.starts_with("<html")) && !name.ends_with(".html"))
    return "a web page: a network may ask for a login first";
  return "";
}

/// The only form of ETag that If-Range takes, on one line.
bool is_strong(const std::string& etag) {
  return etag.size() >= 2 && etag.front() == '"' && etag.back() == '"' &&
         std::all_of(etag.begin(), etag.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

/// One download through all its tries: waiting -> requested -> (waiting ->)* finished.
class FileDownload {
 public:
  FileDownload(const Download& download, const RetryOptions& retry)
      : download_(download),
        name_(download.path.filename().string()),
        backoff_(retry),
        digest_(digest_of(download)) {
    continue_partial();
  }

  bool finished() const { return finished_; }
  bool can_start() const { return !finished_ && !requested_ && backoff_.due(); }
  uint64_t received() const { return received_; }

  void start(HttpClient& client) {
    client_ = &client;
    requested_ = true;
    first_piece_ = true;
    HttpRequest request;
    request.url = download_.url;
    request.range_start = received_;
    request.if_range = is_strong(etag_) ? etag_ : "";
    request.on_body = [this](const HttpResponse& r, std::string_view data) {
      return take(r, data);
    };
    request.on_done = [this](const HttpResponse& r) { end(r); };
    client.start(std::move(request));
  }

 private:
  void continue_partial() {
    const uint64_t kept = resumable_bytes(download_);
    file_.emplace(io::File::open_to_write(partial_path(download_)));
    if (kept == 0) {
      restart();
      return;
    }
    received_ = update_from_file(digest_, partial_path(download_));
    most_received_ = received_;
    resumed_ = true;
    std::ifstream note(note_path(download_));
    std::getline(note, etag_);
    std::getline(note, etag_);
    const bool hash_known = !download_.sha256.empty() || !download_.git_sha1.empty();
    if (!hash_known && !is_strong(etag_)) restart();  // nothing would tell that the content changed
  }

  void restart() {
    file_->resize(0);
    digest_ = digest_of(download_);
    received_ = 0;
    resumed_ = false;
    beginning_.clear();
    etag_.clear();
  }

  /// Whether a 206 answer continues where the partial file ends.
  bool continues(const HttpResponse& response) const {
    return response.content_range.starts_with(fmt::format("bytes {}-", received_));
  }

  bool take(const HttpResponse& response, std::string_view data) {
    if (std::exchange(first_piece_, false)) {
      if (response.status == 206 ? !continues(response) : received_ > 0) {
        restart();
        if (response.status == 206) return false;  // another part than the one asked for
      }
      etag_ = response.etag;
      std::ofstream(note_path(download_)) << content_id(download_) << '\n' << etag_ << '\n';
    }
    if (received_ < kTellingBytes) beginning_ += data.substr(0, kTellingBytes - received_);
    if (data.size() > download_.bytes - received_) {
      refuse_impostor();
      discard();
      fail(ErrorKind::io,
           "{}: the server sends more than the {} bytes that the hub announced; the file was "
           "discarded",
           name_, download_.bytes);
    }
    file_->write(received_, std::as_bytes(std::span(data)));
    digest_.update(data);
    received_ += data.size();
    return true;
  }

  /// Throws Error(io) when another thing than the file was sent.
  void refuse_impostor() {
    const std::string_view what = impostor(beginning_, name_);
    if (what.empty()) return;
    discard();
    fail(ErrorKind::io, "{}: the server sends {}", name_, what);
  }

  void end(const HttpResponse& response) {
    requested_ = false;
    if (response.status / 100 == 2 && response.failure.empty()) refuse_impostor();
    if (response.status / 100 == 2 && received_ == download_.bytes) {
      verify();
      return;
    }
    HttpResponse failed = response;
    if (response.status / 100 == 2 && response.failure.empty()) {
      failed.failure = fmt::format("the server sends {} of {} bytes", received_, download_.bytes);
    }
    if (response.status == 416) restart();  // nothing is left at that place: start over
    if (received_ >= most_received_ + kProgressBytes) backoff_.reset();
    most_received_ = std::max(most_received_, received_);
    backoff_.after_failure(name_, *client_, failed);
  }

  void verify() {
    const std::string& wanted = download_.sha256.empty() ? download_.git_sha1 : download_.sha256;
    const std::string got = digest_.hex();
    if (!wanted.empty() && got != wanted) {
      if (resumed_) {  // the part from the earlier call may be what is wrong
        restart();
        return;
      }
      discard();
      fail(ErrorKind::io,
           "{}: corrupted download: its {} is {}, the hub says {}; the file was discarded", name_,
           download_.sha256.empty() ? "git blob id" : "sha256", got, wanted);
    }
    file_->sync();
    fs::rename(partial_path(download_), download_.path);
    fs::remove(note_path(download_));
    file_.reset();
    finished_ = true;
  }

  void discard() {
    fs::remove(partial_path(download_));
    fs::remove(note_path(download_));
  }

  const Download& download_;
  std::string name_;
  Backoff backoff_;
  Digest digest_;
  std::optional<io::File> file_;
  std::string etag_;
  std::string beginning_;  // the first kTellingBytes, unless they are from an earlier call
  HttpClient* client_ = nullptr;
  uint64_t received_ = 0;       // bytes in the partial file
  uint64_t most_received_ = 0;  // at the end of any try
  bool resumed_ = false;        // some of them are from an earlier call
  bool requested_ = false;
  bool first_piece_ = false;
  bool finished_ = false;
};

}  // namespace

uint64_t resumable_bytes(const Download& download) {
  std::ifstream note(note_path(download));
  std::string id;
  if (!std::getline(note, id) || id != content_id(download)) return 0;
  struct stat partial {};
  if (::lstat(partial_path(download).c_str(), &partial) != 0 || !S_ISREG(partial.st_mode)) return 0;
  const auto bytes = static_cast<uint64_t>(partial.st_size);
  return bytes < download.bytes ? bytes : 0;
}

void download_files(HttpClient& client, const std::vector<Download>& downloads, int parallel,
                    const RetryOptions& retry, const DownloadProgress& progress) {
  struct Running {
    size_t index;
    std::unique_ptr<FileDownload> file;
  };
  std::vector<Running> running;
  const CancelTransfers cancel{client};
  size_t next = 0;
  while (next < downloads.size() || !running.empty()) {
    while (next < downloads.size() && running.size() < static_cast<size_t>(parallel)) {
      running.push_back({next, std::make_unique<FileDownload>(downloads[next], retry)});
      ++next;
    }
    for (const Running& r : running) {
      if (r.file->can_start()) r.file->start(client);
    }
    if (client.active() > 0) {
      client.poll(kTransferTick);
    } else {
      std::this_thread::sleep_for(kTransferTick);  // all are waiting for their next try
    }
    for (const Running& r : running) progress(r.index, r.file->received());
    std::erase_if(running, [](const Running& r) { return r.file->finished(); });
  }
}

std::string download_text(HttpClient& client, const std::string& url, size_t max_bytes,
                          const std::string& what, const RetryOptions& retry) {
  Exchange asked{.what = what, .max_bytes = max_bytes};
  asked.request.url = url;
  return exchange(client, asked, retry).text;
}

}  // namespace sluice::engine
