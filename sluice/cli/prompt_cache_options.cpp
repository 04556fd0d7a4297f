#include "sluice/cli/prompt_cache_options.h"

#include "sluice/base/error.h"
#include "sluice/cli/output.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {

CLI::Validator cache_name() {
  return {[](const std::string& given) { return given.empty() ? "it needs a name" : ""; }, ""};
}

std::string salt_of(const std::string& name) { return name == kSharedCache ? "" : name; }

engine::DiskCacheOptions disk_cache_options(bool quiet) {
  engine::DiskCacheOptions options;
  const std::filesystem::path root = engine::ModelStore::default_root();
  if (!root.empty()) options.folder = root / "prompts";
  if (!quiet) options.log = [](std::string_view line) { note(line); };
  return options;
}

engine::DiskCacheOptions needed_disk_cache(const std::string& name, bool quiet) {
  engine::DiskCacheOptions options = disk_cache_options(quiet);
  if (options.folder.empty()) {
    fail(ErrorKind::bad_request,
         "there is no place for a disk cache: neither SLUICE_HOME nor HOME is set");
  }
  options.named_salt = salt_of(name);
  return options;
}

}  // namespace sluice::cli
