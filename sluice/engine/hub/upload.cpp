#include "sluice/engine/hub/upload.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "sluice/base/base64.h"
#include "sluice/base/digest.h"
#include "sluice/base/error.h"
#include "sluice/engine/hub/exchange.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::engine {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr size_t kSampleBytes = 512;          // of which the hub tells text from what is not
constexpr uint64_t kMostInCommit = 10 << 20;  // of a file that the hub wants in the commit itself
constexpr uint64_t kMostParts = 10'000;       // as stores of objects have it
constexpr const char* kLfs = "application/vnd.git-lfs+json";
constexpr const char* kJson = "application/json";

struct LocalFile {
  fs::path path;
  std::string name;
  uint64_t bytes = 0;
  bool is_large = false;
  std::string sha256;  ///< hex, of large ones
};

bool is_sent(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename();
  return entry.is_regular_file() && !name.starts_with(".") && !name.ends_with(".partial") &&
         !name.ends_with(".partial.note");
}

std::vector<LocalFile> files_of(const fs::path& model) {
  std::vector<LocalFile> files;
  const auto add = [&](const fs::path& path) {
    files.push_back({path, path.filename().string(), fs::file_size(path), false, ""});
  };
  if (!fs::is_directory(model)) {
    add(model);
    return files;
  }
  if (fs::exists(model / kIncompleteMarker))
    fail(ErrorKind::bad_request, "{}: is only partly here; `sluice pull` it first", model.string());
  for (const fs::directory_entry& entry : fs::directory_iterator(model))
    if (is_sent(entry)) add(entry.path());
  std::ranges::sort(files, {}, &LocalFile::name);
  if (files.empty()) fail(ErrorKind::bad_request, "{}: has no files to send", model.string());
  return files;
}

std::string read_beginning(const fs::path& path, uint64_t bytes) {
  std::string text(bytes, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(bytes)))
    fail(ErrorKind::io, "{}: cannot be read", path.string());
  return text;
}

/// What the hub answers is untrusted: `read` may throw nlohmann's exceptions.
template <typename Read>
auto understood(const std::string& what, const std::string& text, Read read) {
  try {
    return read(json::parse(text));
  } catch (const json::exception&) {
    fail(ErrorKind::io, "{}: the hub's answer is not of its protocol", what);
  }
}

/// How the store wants a file: in one piece at `href`, or in parts, whose end `href` is told.
struct SendPlan {
  std::string href, verify;
  std::vector<std::string> parts;
  uint64_t part_bytes = 0;
  bool is_there = false;
};

/// "header" holds chunk_size and, by number, each part's address.
void read_parts(const json& header, uint64_t bytes, SendPlan& plan) {
  if (!header.contains("chunk_size")) return;
  const auto& size = header.at("chunk_size");
  const std::string text = size.is_string() ? size.get<std::string>() : size.dump();
  std::from_chars(text.data(), text.data() + text.size(), plan.part_bytes);
  const uint64_t n = plan.part_bytes == 0 ? 0 : (bytes + plan.part_bytes - 1) / plan.part_bytes;
  if (n == 0 || n > kMostParts)
    fail(ErrorKind::io, "the store's parts of {} bytes do not divide {}", text, bytes);
  plan.parts.resize(n);
  for (const auto& [key, address] : header.items()) {
    uint64_t number = 0;
    const auto read = std::from_chars(key.data(), key.data() + key.size(), number);
    if (read.ec == std::errc() && read.ptr == key.data() + key.size() && number >= 1 && number <= n)
      plan.parts[number - 1] = address.get<std::string>();
  }
}

SendPlan read_plan(const json& batch, const LocalFile& file) {
  const json& object = batch.at("objects").at(0);
  if (object.contains("error")) {
    fail(ErrorKind::io, "{}: the hub refuses it: {}", file.name,
         object["error"].value("message", "it does not say why"));
  }
  SendPlan plan;
  plan.is_there = !object.contains("actions") || !object["actions"].contains("upload");
  if (plan.is_there) return plan;
  const json& actions = object["actions"];
  plan.href = actions["upload"].at("href").get<std::string>();
  if (actions["upload"].contains("header") && actions["upload"]["header"].is_object())
    read_parts(actions["upload"]["header"], file.bytes, plan);
  if (actions.contains("verify")) plan.verify = actions["verify"].at("href").get<std::string>();
  return plan;
}

class Upload {
 public:
  Upload(std::string_view id, const UploadOptions& options, std::vector<LocalFile> files,
         const std::function<void(const PullProgress&)>& progress)
      : options_(options),
        id_(id),
        files_(std::move(files)),
        progress_(progress),
        retry_{.tries = options.hub.tries},
        client_({options.hub.token, options.hub.endpoint, options.hub.endpoint + "/" + id_,
                 options.hub.stall}) {
    for (const LocalFile& file : files_) {
      state_.files.push_back({file.name, {file.bytes}, {}});
      result_.bytes.count += file.bytes;
    }
    result_.n_files = static_cast<int>(files_.size());
  }

  UploadResult run() {
    make_repository();
    ask_modes();
    for (size_t i = 0; i < files_.size(); ++i)
      if (files_[i].is_large) send_large(i);
    commit();
    return result_;
  }

 private:
  std::string api(std::string_view call) const {
    return fmt::format("{}/api/models/{}/{}/{}", options_.hub.endpoint, id_, call,
                       url_escape(options_.hub.revision));
  }

  Answer post(std::string what, std::string url, const char* type, std::string text,
              std::function<bool(int)> accepts) {
    Exchange asked{.what = std::move(what), .accepts = std::move(accepts)};
    asked.request.url = std::move(url);
    asked.request.body = HttpBody{.method = "POST", .type = type, .text = std::move(text)};
    return exchange(client_, asked, retry_);
  }
  static bool is_fine(int status) { return status == 200 || status == 201; }

  /// 409: it is there. 403: it may be, and ask_modes() will tell whether it may be written to.
  void make_repository() {
    const size_t slash = id_.find('/');
    const json asked{{"organization", id_.substr(0, slash)},
                     {"name", id_.substr(slash + 1)},
                     {"type", "model"},
                     {"private", options_.is_private}};
    post(id_, options_.hub.endpoint + "/api/repos/create", kJson, asked.dump(),
         [](int status) { return is_fine(status) || status == 409 || status == 403; });
  }

  /// Which files are large, by the hub's rules.
  void ask_modes() {
    json asked{{"files", json::array()}};
    for (const LocalFile& file : files_) {
      const std::string sample =
          read_beginning(file.path, std::min<uint64_t>(file.bytes, kSampleBytes));
      asked["files"].push_back(
          {{"path", file.name}, {"size", file.bytes}, {"sample", base64(sample)}});
    }
    const Answer answer = post(id_, api("preupload"), kJson, asked.dump(), is_fine);
    understood(id_, answer.text, [&](const json& told) {
      for (const json& one : told.at("files")) {
        const auto file =
            std::ranges::find(files_, one.at("path").get<std::string>(), &LocalFile::name);
        if (file != files_.end()) file->is_large = one.at("uploadMode") == "lfs";
      }
    });
    for (LocalFile& file : files_) file.is_large |= file.bytes > kMostInCommit;
  }

  void show(size_t i, uint64_t done) {
    state_.files[i].done = {done};
    if (progress_) progress_(state_);
  }

  void send_large(size_t i) {
    LocalFile& file = files_[i];
    Digest digest = Digest::sha256();
    if (update_from_file(digest, file.path) != file.bytes)
      fail(ErrorKind::io, "{}: changed while it was read", file.path.string());
    file.sha256 = digest.hex();
    for (int tries = 0;; ++tries) {
      const SendPlan plan = ask_store(file);
      if (plan.is_there || send(i, plan)) break;
      if (tries == options_.hub.tries)  // addresses expire, but not all the time
        fail(ErrorKind::io, "{}: the store takes none of the addresses that the hub gives",
             file.name);
    }
    show(i, file.bytes);
  }

  SendPlan ask_store(const LocalFile& file) {
    const json object{{"oid", file.sha256}, {"size", file.bytes}};
    const json asked{{"operation", "upload"},
                     {"transfers", {"basic", "multipart"}},
                     {"hash_algo", "sha256"},
                     {"ref", {{"name", options_.hub.revision}}},
                     {"objects", json::array({object})}};
    const std::string url =
        fmt::format("{}/{}.git/info/lfs/objects/batch", options_.hub.endpoint, id_);
    const Answer answer = post(file.name, url, kLfs, asked.dump(), is_fine);
    return understood(file.name, answer.text,
                      [&](const json& told) { return read_plan(told, file); });
  }

  /// False where an address has expired.
  bool send(size_t i, const SendPlan& plan) {
    const LocalFile& file = files_[i];
    json parts = json::array();
    const size_t n = std::max<size_t>(plan.parts.size(), 1);
    const uint64_t most = plan.parts.empty() ? file.bytes : plan.part_bytes;
    for (size_t part = 0; part < n; ++part) {
      const uint64_t begin = part * most, bytes = std::min(most, file.bytes - begin);
      const std::string& url = plan.parts.empty() ? plan.href : plan.parts[part];
      const auto answer = put(i, url, begin, bytes);
      if (!answer) return false;
      parts.push_back({{"partNumber", part + 1}, {"etag", answer->etag}});
    }
    if (!plan.parts.empty()) {
      post(file.name, plan.href, kLfs, json{{"oid", file.sha256}, {"parts", parts}}.dump(),
           is_fine);
    }
    if (!plan.verify.empty()) {
      post(file.name, plan.verify, kLfs, json{{"oid", file.sha256}, {"size", file.bytes}}.dump(),
           is_fine);
    }
    result_.sent.count += file.bytes;
    return true;
  }

  std::optional<Answer> put(size_t i, const std::string& url, uint64_t begin, uint64_t bytes) {
    const LocalFile& file = files_[i];
    if (options_.hub.endpoint.starts_with("https:") && !url.starts_with("https:"))
      fail(ErrorKind::io, "{}: the hub leads to a store without encryption", file.name);
    const bool elsewhere = url_origin(url) != url_origin(options_.hub.endpoint);
    Exchange asked{.what = file.name, .accepts = [&](int status) {
                     return status / 100 == 2 || (elsewhere && (status == 401 || status == 403));
                   }};
    asked.request.url = url;
    asked.request.body = HttpBody{.method = "PUT",
                                  .type = "application/octet-stream",
                                  .file = file.path,
                                  .offset = begin,
                                  .bytes = bytes};
    asked.request.on_sent = [&](uint64_t sent) { show(i, begin + sent); };
    Answer answer = exchange(client_, asked, retry_);
    return answer.status / 100 == 2 ? std::optional(std::move(answer)) : std::nullopt;
  }

  void commit() {
    const auto line = [](const char* key, json value) {
      return json{{"key", key}, {"value", std::move(value)}}.dump() + "\n";
    };
    std::string lines = line("header", {{"summary", options_.message}, {"description", ""}});
    for (size_t i = 0; i < files_.size(); ++i) {
      const LocalFile& file = files_[i];
      if (file.is_large) {
        lines += line(
            "lfsFile",
            {{"path", file.name}, {"algo", "sha256"}, {"oid", file.sha256}, {"size", file.bytes}});
      } else {
        lines += line("file", {{"path", file.name},
                               {"encoding", "base64"},
                               {"content", base64(read_beginning(file.path, file.bytes))}});
        show(i, file.bytes);
      }
    }
    const Answer answer =
        post(id_, api("commit"), "application/x-ndjson", std::move(lines), is_fine);
    understood(id_, answer.text, [&](const json& told) {
      result_.url = told.value("commitUrl", options_.hub.endpoint + "/" + id_);
      result_.commit = told.value("commitOid", "");
    });
  }

  UploadOptions options_;
  std::string id_;
  std::vector<LocalFile> files_;
  const std::function<void(const PullProgress&)>& progress_;
  RetryOptions retry_;
  HttpClient client_;
  PullProgress state_;
  UploadResult result_;
};

}  // namespace

UploadResult upload(const fs::path& model, std::string_view id, const UploadOptions& options,
                    const std::function<void(const PullProgress&)>& progress) {
  UploadOptions tidied = options;
  tidied.hub = checked(id, options.hub);
  if (id.find('/') == id.npos || id.find(':') != id.npos)
    fail(ErrorKind::bad_request, "'{}' is no repository's name, as in org/name", id);
  if (tidied.hub.token.empty()) {
    fail(ErrorKind::bad_request,
         "{}: a hub wants a token that may write: set HF_TOKEN, or `hf auth login`", id);
  }
  return Upload(id, tidied, files_of(model), progress).run();
}

}  // namespace sluice::engine
