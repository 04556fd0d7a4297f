#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "sluice/engine/disk_cache/options.h"

namespace sluice::cli {

/// What the partition is called whose prompts all share that ask for no other: those of a server's clients, too.
inline constexpr const char* kSharedCache = "shared";

/// Takes what --cache may be: not nothing.
CLI::Validator cache_name();

/// A request's cache_salt for --cache NAME.
std::string salt_of(const std::string& name);

/// The disk cache in the model store, which tells on stderr what goes wrong unless `quiet`. Its folder is empty where
/// there is no store.
engine::DiskCacheOptions disk_cache_options(bool quiet);
/// The same, of a command that needs one. Throws Error(bad_request) where there is no store.
engine::DiskCacheOptions needed_disk_cache(const std::string& name, bool quiet);

}  // namespace sluice::cli
