#include "sluice/engine/hub/model_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"

namespace sluice::engine {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxNamePart = 96;
constexpr size_t kMaxHint = 24;
constexpr std::uintmax_t kMaxConfigBytes = 16 << 20;

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool is_name_part(std::string_view part) {
  return !part.empty() && part.size() <= kMaxNamePart && part[0] != '.' && part[0] != '-' &&
         part.find("..") == part.npos && std::all_of(part.begin(), part.end(), [](char c) {
           return is_alnum(c) || c == '.' || c == '_' || c == '-';
         });
}

using io::is_gguf;

/// A file by name; a directory may be called "name:file.gguf". Vision encoders lie beside the
/// language model they belong to.
bool is_language_gguf(const fs::directory_entry& entry) {
  std::error_code error;
  return is_gguf(entry.path()) && !entry.path().filename().string().starts_with("mmproj") &&
         entry.is_regular_file(error);
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

bool is_quantization(std::string_view tag) {
  if (tag == "F32" || tag == "F16" || tag == "BF16" || tag.starts_with("MXFP4")) return true;
  if (tag.starts_with("IQ") || tag.starts_with("TQ")) tag.remove_prefix(1);
  return tag.size() >= 2 && tag[0] == 'Q' && tag[1] >= '1' && tag[1] <= '8' &&
         (tag.size() == 2 || tag[2] == '_');
}

/// From config.json: MLX's "quantization" or the dtype. It is a hint, so what is odd gives "".
std::string quantization_of_config(const fs::path& directory) {
  const fs::path path = directory / "config.json";
  std::error_code error;
  if (const auto bytes = fs::file_size(path, error); error || bytes > kMaxConfigBytes) return "";
  std::ifstream file(path);
  const auto config = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return "";
  if (const auto it = config.find("quantization"); it != config.end() && it->is_object()) {
    if (const auto mode = it->find("mode");
        mode != it->end() && mode->is_string() && *mode != "affine") {
      return mode->get<std::string>();
    }
    const auto bits = it->find("bits");
    return bits != it->end() && bits->is_number_integer() ? bits->dump() + "-bit" : "";
  }
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (const auto it = config.find(key); it != config.end() && it->is_string()) {
      return it->get<std::string>();
    }
  }
  return "";
}

/// Adds up one file. A name is followed when it links to a file, as model files may.
void add_file(const fs::path& path, StoredModel& model) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0 || !S_ISREG(file.st_mode)) return;
  model.bytes.count += static_cast<uint64_t>(file.st_size);
  model.modified = std::max<std::time_t>(model.modified, file.st_mtime);
}

/// The model in a directory; nullopt when there is none.
std::optional<StoredModel> read_directory(const fs::path& directory, std::string name) {
  StoredModel model;
  model.name = std::move(name);
  model.path = directory;
  bool safetensors = false, gguf = false;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const fs::path file = it->path();
    if (file.filename() == kIncompleteMarker) model.complete = false;
    safetensors |= file.extension() == ".safetensors";
    if (is_language_gguf(*it)) {
      gguf = true;
      model.quantization = quantization_tag(file.filename().string()).value_or("");
    }
    add_file(file, model);
  }
  if (!safetensors && !gguf && model.complete) return std::nullopt;
  model.format = gguf && !safetensors ? ModelFormat::gguf : ModelFormat::safetensors;
  if (safetensors) model.quantization = quantization_of_config(directory).substr(0, kMaxHint);
  return model;
}

void list_into(std::vector<StoredModel>& models, const fs::path& directory,
               const std::string& prefix) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = prefix + it->path().filename().string();
    std::error_code unreadable;
    if (!is_model_name(name)) continue;
    if (!it->is_directory(unreadable)) {
      if (!prefix.empty() || !is_language_gguf(*it)) continue;
      StoredModel model;
      model.name = name;
      model.path = it->path();
      model.format = ModelFormat::gguf;
      model.quantization = quantization_tag(name).value_or("");
      add_file(it->path(), model);
      models.push_back(std::move(model));
    } else if (auto model = read_directory(it->path(), name)) {
      models.push_back(std::move(*model));
    } else if (prefix.empty()) {
      list_into(models, it->path(), name + "/");
    }
  }
}

/// What the engine opens: the directory itself, or the first part of the GGUF in it.
fs::path model_in(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> firsts;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".safetensors") return directory;
    if (is_language_gguf(*it) && gguf_part(it->path().filename().string()).part == 1) {
      firsts.push_back(it->path());
    }
  }
  if (firsts.empty()) return directory;
  if (firsts.size() > 1) {
    std::sort(firsts.begin(), firsts.end());
    fail(ErrorKind::bad_request, "{} holds {} GGUF models: name one of them, such as {}",
         directory.string(), firsts.size(), firsts[0].string());
  }
  return firsts[0];
}

[[noreturn]] void fail_not_found(std::string_view model, const ModelStore& store) {
  if (store.root().empty()) {
    fail(ErrorKind::bad_request,
         "no model '{}': not a file or directory, and names mean nothing here: set SLUICE_HOME or "
         "HOME",
         model);
  }
  const std::string looked = fmt::format("no model '{}': not a file or directory, not in {}", model,
                                         store.models().string());
  if (model == kDefaultModel) fail(ErrorKind::bad_request, "{}; `make run` gets it", looked);
  if (is_model_name(model) && model.find('/') != model.npos) {
    fail(ErrorKind::bad_request, "{}; `sluice pull {}` gets it from the hub", looked, model);
  }
  fail(ErrorKind::bad_request, "{}; `sluice list` shows what is there", looked);
}

}  // namespace

std::string_view to_string(ModelFormat format) {
  return format == ModelFormat::gguf ? "gguf" : "safetensors";
}

bool is_model_name(std::string_view name) {
  if (const size_t colon = name.find(':'); colon != name.npos) {
    if (!is_name_part(name.substr(colon + 1))) return false;
    name = name.substr(0, colon);
  }
  const size_t slash = name.find('/');
  if (slash == name.npos) return is_name_part(name);
  return is_name_part(name.substr(0, slash)) && is_name_part(name.substr(slash + 1));
}

std::optional<std::string> quantization_tag(std::string_view file_name) {
  const std::string name = upper(file_name);
  for (size_t i = name.size(); i-- > 0;) {
    if (i > 0 && is_alnum(name[i - 1])) continue;
    size_t end = i;
    while (end < name.size() && (is_alnum(name[end]) || name[end] == '_')) ++end;
    if (is_quantization(std::string_view(name).substr(i, end - i))) return name.substr(i, end - i);
  }
  return std::nullopt;
}

GgufPart gguf_part(std::string_view file_name) {
  const std::string_view stem = file_name.substr(0, file_name.rfind(".gguf"));
  constexpr std::string_view kPattern = "-00000-of-00000";
  if (stem.size() <= kPattern.size()) return {std::string(stem), 1};
  const std::string_view tail = stem.substr(stem.size() - kPattern.size());
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const bool digit = std::isdigit(static_cast<unsigned char>(tail[i])) != 0;
    if (kPattern[i] == '0' ? !digit : tail[i] != kPattern[i]) return {std::string(stem), 1};
  }
  return {std::string(stem.substr(0, stem.size() - kPattern.size())),
          std::stoi(std::string(tail.substr(1, 5)))};
}

fs::path ModelStore::default_root() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value == nullptr ? "" : value);
  };
  if (const fs::path home = variable("SLUICE_HOME"); !home.empty()) return home;
  // The XDG specification has relative paths ignored.
  if (const fs::path cache = variable("XDG_CACHE_HOME"); cache.is_absolute())
    return cache / "sluice";
  if (const fs::path home = variable("HOME"); !home.empty()) return home / ".cache" / "sluice";
  return {};
}

fs::path ModelStore::models() const {
  if (root_.empty())
    fail(ErrorKind::bad_request, "nowhere to keep models: set SLUICE_HOME or HOME");
  return root_ / "models";
}

fs::path ModelStore::directory(std::string_view name) const {
  if (!is_model_name(name)) {
    fail(ErrorKind::bad_request,
         "'{}' is not a model's name: letters, digits, '.', '_' and '-', as in org/name or "
         "org/name:Q4_K_M",
         name);
  }
  return models() / name;
}

fs::path ModelStore::resolve(std::string_view model) const {
  if (model.empty()) fail(ErrorKind::bad_request, "the model's name is empty");
  const fs::path path(model);
  std::error_code error;
  if (fs::is_directory(path, error)) return model_in(path);
  if (fs::is_regular_file(path, error)) {
    if (is_gguf(path)) return path;
    fail(ErrorKind::bad_request, "{} is neither a model's directory nor a .gguf file",
         path.string());
  }
  if (!is_model_name(model) || root_.empty()) fail_not_found(model, *this);
  const fs::path stored = directory(model);
  if (fs::is_regular_file(stored, error) && is_gguf(stored)) return stored;
  if (!fs::is_directory(stored, error)) fail_not_found(model, *this);
  if (fs::exists(stored / kIncompleteMarker, error)) {
    fail(ErrorKind::bad_request, "model '{}' is only partly here: `sluice pull {}` gets the rest",
         model, model);
  }
  return model_in(stored);
}

bool ModelStore::lacks(std::string_view model) const {
  std::error_code error;
  if (!is_model_name(model) || model.find('/') == model.npos || fs::exists(model, error))
    return false;
  if (root_.empty()) return true;
  const fs::path stored = directory(model);
  return !fs::exists(stored, error) || fs::exists(stored / kIncompleteMarker, error);
}

std::vector<StoredModel> ModelStore::list() const {
  std::vector<StoredModel> found;
  list_into(found, models(), "");
  std::sort(found.begin(), found.end(),
            [](const StoredModel& a, const StoredModel& b) { return a.name < b.name; });
  return found;
}

Bytes ModelStore::remove(std::string_view name) const {
  const fs::path target = directory(name);
  const std::vector<StoredModel> all = list();
  const auto model =
      std::find_if(all.begin(), all.end(), [&](const StoredModel& m) { return m.name == name; });
  if (model == all.end()) {
    fail(ErrorKind::bad_request, "no model '{}' in {}; `sluice list` shows what is there", name,
         models().string());
  }
  const fs::path parent = target.parent_path();
  if (parent != models() && fs::is_symlink(parent)) {
    fail(ErrorKind::bad_request, "{} is a symbolic link: nothing behind it is deleted",
         parent.string());
  }
  std::error_code error;
  Bytes freed = model->bytes;
  if (fs::is_directory(fs::symlink_status(target))) {
    const DirectoryLock lock(target);
    fs::remove_all(target, error);  // does not follow links
  } else {
    if (fs::is_symlink(target)) freed = {};
    fs::remove(target, error);
  }
  if (error) fail(ErrorKind::io, "{}: cannot delete: {}", target.string(), error.message());
  if (parent != models()) fs::remove(parent, error);  // stays when other models are in it
  return freed;
}

DirectoryLock::DirectoryLock(const fs::path& directory)
    : fd_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ < 0) fail(ErrorKind::io, "{}: {}", directory.string(), std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  ::close(fd_);
  if (error == EWOULDBLOCK) {
    fail(ErrorKind::io, "{}: another sluice is at work on this model", directory.string());
  }
  fail(ErrorKind::io, "{}: cannot lock: {}", directory.string(), std::strerror(error));
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace sluice::engine
