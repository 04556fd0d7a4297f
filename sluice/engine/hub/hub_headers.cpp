#include "sluice/engine/hub/hub_headers.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>

#include "sluice/base/error.h"
#include "sluice/engine/hub/heads.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/io/formats/gguf.h"
#include "sluice/io/formats/header_extent.h"
#include "sluice/io/formats/safetensors.h"

namespace sluice::engine {
namespace fs = std::filesystem;
namespace {

/// Of all files. The largest checkpoints have some 30 MB of headers and index and 30 MB of tokenizer.
constexpr Bytes kMostHeaders{uint64_t{512} << 20};

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Head head_of(const HubFile& file, const HubRepository& repository) {
  Head head{.name = repository.id() + "/" + file.name,
            .url = repository.url(file),
            .file_bytes = file.bytes,
            .wanted = {},
            .done = {}};
  if (file.name.ends_with(".gguf")) {
    head.wanted = [extent = io::GgufHeaderExtent()](std::string_view beginning) mutable {
      return extent(as_bytes(beginning));
    };
  } else if (file.name.ends_with(".safetensors")) {
    head.wanted = [](std::string_view beginning) {
      return io::safetensors_header_extent(as_bytes(beginning));
    };
  } else {
    head.wanted = [bytes = file.bytes](std::string_view) { return bytes; };
  }
  return head;
}

void write(const fs::path& path, std::string_view content) {
  std::ofstream out(path, std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out)
    fail(ErrorKind::io, "{}: cannot write; set TMPDIR to where there is room", path.string());
}

/// Whether a file of the model's directory is the one that is wanted: pulled, hence checked.
bool is_pulled(const fs::path& path, const HubFile& file) {
  std::error_code error;
  return fs::is_regular_file(fs::symlink_status(path, error)) &&
         fs::file_size(path, error) == file.bytes && !error;
}

/// The readers take a file that ends behind its header, so what headers promise is compared with the listing here.
void check_sizes(const HubHeaders& headers, const HubRepository& repository) {
  const io::TensorIndex index = headers.model.extension() == ".gguf"
                                    ? io::open_gguf(headers.model, io::Data::not_needed).index
                                    : io::open_safetensors(headers.model, io::Data::not_needed);
  for (const io::ModelFile& file : index.files) {
    const std::string name = file.path.filename();
    const auto listed = std::ranges::find_if(
        repository.files(), [&](const HubFile& f) { return f.local_name() == name; });
    if (listed != repository.files().end() && file.bytes > listed->bytes) {
      fail(ErrorKind::bad_model, "{}: its header speaks of {} bytes, on the hub it has {}", name,
           file.bytes, listed->bytes);
    }
  }
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::error_code error;
  std::string name = (fs::temp_directory_path(error) / "sluice-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr) {
    fail(ErrorKind::io, "no temporary directory can be made: {}; set TMPDIR",
         error ? error.message() : std::strerror(errno));
  }
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() { remove(); }

void TemporaryDirectory::remove() noexcept {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
  path_.clear();
}

std::string without_path(std::string text, const std::string& model, const fs::path& directory) {
  for (size_t at; (at = text.find(directory.string())) != text.npos;)
    text.replace(at, directory.string().size(), model);
  return text.starts_with(model) ? text : model + ": " + text;
}

bool holds_weights(const HubFile& file) {
  return file.name.ends_with(".gguf") || file.name.ends_with(".safetensors");
}

HubHeaders fetch_headers(HubRepository& repository, const PullOptions& options,
                         const fs::path& here) {
  std::vector<Head> heads;
  std::vector<std::pair<std::string, std::string>> fetched;  // name and content
  std::vector<fs::path> pulled;
  for (const HubFile& file : repository.files()) {
    const fs::path path = here / file.local_name();
    if (!here.empty() && !holds_weights(file) && is_pulled(path, file)) {
      pulled.push_back(fs::absolute(path));
      continue;
    }
    heads.push_back(head_of(file, repository));
    heads.back().done = [&fetched, name = file.local_name()](std::string&& beginning) {
      fetched.emplace_back(name, std::move(beginning));
    };
  }
  download_heads(repository.client(), heads, kMostHeaders, 2 * options.parallel,
                 repository.retry());
  // Only now, so that whoever loses patience meanwhile leaves no files.
  HubHeaders headers;
  const fs::path& directory = headers.directory.path();
  for (const fs::path& path : pulled) fs::create_symlink(path, directory / path.filename());
  for (const auto& [name, content] : fetched) write(directory / name, content);
  headers.model = ModelStore(directory).resolve(directory.string());
  try {
    check_sizes(headers, repository);
  } catch (const Error& error) {
    throw Error(error.kind(), without_path(error.what(), repository.id(), directory));
  }
  return headers;
}

}  // namespace sluice::engine
