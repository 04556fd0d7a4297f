#include "sluice/convert/convert.h"

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

#include "sluice/base/atomic_file.h"
#include "sluice/base/error.h"
#include "sluice/convert/importance.h"
#include "sluice/convert/tokenizer_out.h"
#include "sluice/convert/write.h"
#include "sluice/io/file.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::convert {
namespace {

namespace fs = std::filesystem;

/// What is taken over beside config.json and the tensors: tokenizers, templates, what a generation begins with, code, licenses.
bool is_carried(const fs::path& path) {
  constexpr std::array<std::string_view, 7> kEndings = {".json", ".jinja",    ".txt", ".model",
                                                        ".py",   ".tiktoken", ".md"};
  const std::string name = path.filename().string();
  if (name == "config.json" || name.ends_with(".index.json") || name.starts_with(".")) return false;
  return name.starts_with("LICENSE") || std::ranges::any_of(kEndings, [&](std::string_view ending) {
           return name.ends_with(ending);
         });
}

std::vector<fs::path> carried_files(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (entry.is_regular_file() && is_carried(entry.path())) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

/// What pieces may take of `ram`.
Bytes buffers_within(const std::optional<Bytes>& ram) {
  constexpr Bytes kUsual{96'000'000}, kLeast{6'000'000};
  if (!ram) return kUsual;
  const Bytes own = residency::memory_state().own, spare{24'000'000};
  const Bytes left = difference(*ram, own + spare);
  if (left < kLeast) {
    fail(ErrorKind::over_budget, "--ram {}: the process takes {} already, give {} or more",
         to_string(*ram), to_string(own), to_string(own + spare + kLeast));
  }
  return std::min(left, kUsual);
}

void check_room(const fs::path& directory, uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  uint64_t there = 0;  // of a run that was killed
  for (const fs::directory_entry& entry : fs::directory_iterator(directory))
    if (entry.is_regular_file()) there += entry.file_size();
  if (!error && space.available + there < bytes) {
    fail(ErrorKind::io, "{}: the result takes {}, the disk has {}; free some, or convert elsewhere",
         directory.parent_path().string(), to_string(Bytes{bytes}),
         to_string(Bytes{space.available}));
  }
}

/// The directory in which a result grows; removed when an error leaves it, kept when the process dies.
class Partial {
 public:
  explicit Partial(const fs::path& path) : path_(path) {
    if (!fs::create_directory(path_) && !fs::is_empty(path_) && !fs::exists(path_ / kLock)) {
      fail(ErrorKind::bad_request,
           "{}: is where the result would grow, and holds something else; move it away",
           path_.string());
    }
    lock_.emplace(io::File::open_to_write(path_ / kLock));
    if (!lock_->try_lock()) {
      fail(ErrorKind::bad_request, "{}: another process is converting to this place",
           path_.string());
    }
    owned_ = true;
  }
  ~Partial() {
    if (!owned_) return;
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;

  const fs::path& path() const { return path_; }
  /// Removes what a run that was killed has left and this one will not write.
  void keep_only(const std::set<std::string>& names) const {
    for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
      const std::string name = entry.path().filename().string();
      if (name != kLock && name != kJournal && !names.contains(name)) fs::remove_all(entry.path());
    }
  }
  /// The directory itself becomes `out`.
  void become(const fs::path& out) {
    fs::remove(path_ / kLock);
    io::sync_directory(path_);
    fs::rename(path_, out);
    owned_ = false;
  }
  /// Its one file does.
  void give(const std::string& name, const fs::path& out) const { fs::rename(path_ / name, out); }

 private:
  static constexpr std::string_view kLock = ".lock";
  fs::path path_;
  std::optional<io::File> lock_;
  bool owned_ = false;
};

/// Of all files that the conversion will write.
std::set<std::string> names_of(const Conversion& conversion) {
  std::set<std::string> names;
  for (const PlannedFile& file : conversion.plan.files) names.insert(file.name);
  for (const SideFile& file : conversion.side_files) names.insert(file.name);
  for (const fs::path& file : conversion.copied) names.insert(file.filename().string());
  return names;
}

void write_side_files(const Conversion& conversion, const fs::path& directory) {
  for (const SideFile& file : conversion.side_files)
    write_file_atomically(directory / file.name, file.text);
  for (const fs::path& file : conversion.copied) {
    fs::copy_file(file, directory / file.filename(), fs::copy_options::overwrite_existing);
    io::File::open_to_write(directory / file.filename()).sync();
  }
}

Conversion plan_of(const SourceModel& model, const fs::path& out, const ConvertOptions& options,
                   const Importance& importance) {
  if (options.to == Target::gguf)
    return plan_gguf(model, out.filename().string(), options, importance);
  Conversion conversion = plan_mlx(model, options);
  if (model.gguf && options.tokenizer.empty()) {
    for (SideFile& file : tokenizer_files(model)) conversion.side_files.push_back(std::move(file));
    return conversion;
  }
  conversion.copied = carried_files(model.gguf ? options.tokenizer : model.path);
  return conversion;
}

/// What has no meaning for the kind of file that is written.
void refuse_foreign(const ConvertOptions& o) {
  const bool mlx = o.bits != 0 || o.group_size != 0 || o.mode != "affine" || !o.recipe.empty() ||
                   !o.keep.empty() || o.dequantize || o.dtype || o.predicate;
  if (o.to == Target::gguf && mlx) {
    fail(ErrorKind::bad_request,
         "--to gguf takes --type; --bits, --group-size, --mode, --recipe, --keep, --dtype and "
         "--dequantize are MLX's");
  }
  if (o.to == Target::mlx && (!o.type.empty() || !o.imatrix.empty()))
    fail(ErrorKind::bad_request,
         "--type and --imatrix are of --to gguf; MLX has --bits and --mode");
}

fs::path without_slash(fs::path path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

Converted convert(const fs::path& source, const fs::path& wanted, const ConvertOptions& options) {
  refuse_foreign(options);
  const fs::path out = fs::absolute(without_slash(wanted));
  if (fs::exists(out))
    fail(ErrorKind::bad_request, "{}: is there already; name another place", out.string());
  if (!fs::is_directory(out.parent_path()))
    fail(ErrorKind::bad_request, "{}: is no directory", out.parent_path().string());
  Importance importance;
  std::string settings;
  if (!options.imatrix.empty()) importance = read_importance(options.imatrix, settings);
  SourceModel model = open_source(source);
  const Conversion conversion = plan_of(model, out, options, importance);
  Converted converted{.out = out,
                      .bytes = {conversion.plan.bytes()},
                      .resumed = {},
                      .left_out = model.left_out,
                      .notes = conversion.notes};
  const bool makes_tokenizer = model.gguf && options.to == Target::mlx && options.tokenizer.empty();
  model.store.reset();
  try {
    Partial partial(out.string() + ".partial");
    partial.keep_only(names_of(conversion));
    check_room(partial.path(), conversion.plan.bytes());
    const WriteOptions write{.n_threads = options.n_threads,
                             .buffers = buffers_within(options.ram),
                             .settings = settings,
                             .importance = &importance,
                             .progress = options.progress};
    write_side_files(conversion, partial.path());
    if (makes_tokenizer) check_tokenizer(model, partial.path());
    converted.resumed = write_plan(conversion.plan, partial.path(), write).resumed;
    if (options.to == Target::mlx) {
      partial.become(out);
    } else {
      partial.give(conversion.plan.files[0].name, out);
    }
    io::sync_directory(out.parent_path());
  } catch (const fs::filesystem_error& error) {
    fail(ErrorKind::io, "{}: cannot be written: {}", out.string(), error.code().message());
  }
  return converted;
}

}  // namespace sluice::convert
