#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::engine {

/// One file of a hub repository, as its listing (`?blobs=true`) tells.
struct HubFile {
  std::string name;  ///< on the hub; may lie in a folder ("Q4_K_M/model-00001-of-00002.gguf")
  uint64_t bytes = 0;
  std::string sha256;    ///< hex, of the content; "" for a file that is not in large-file storage
  std::string git_sha1;  ///< hex, of the git blob; "" when sha256 is known or the hub gives none

  /// How a checkpoint says that it pools, and its only file in a folder: "1_Pooling.json" on disk.
  bool is_pooling() const { return name == "1_Pooling/config.json"; }
  /// The name on disk: without the folders.
  std::string local_name() const {
    return is_pooling() ? "1_Pooling.json" : name.substr(name.rfind('/') + 1);
  }
};

struct HubListing {
  std::string commit;  ///< 40 hex digits, "" when the hub gives none
  std::vector<HubFile> files;
};

/// Reads the hub's answer. It is untrusted: throws Error(io) when it is no such answer, a hash is no
/// hash, or a file name is absolute or has "..".
HubListing parse_hub_listing(std::string_view json, std::string_view id);

/// The files to download. Without a selector: the safetensors checkpoint in the top folder with its
/// *.json, *.jinja and tokenizer.* files, else the only GGUF. With one: the GGUF of that quantization
/// tag ("Q4_K_M") or file name. Throws Error(bad_request) naming the choices when none or several
/// fit, Error(unsupported) when there is no model, Error(io) for a name that is not plain or is there twice.
std::vector<HubFile> choose_hub_files(const HubListing& listing, std::string_view id,
                                      std::string_view selector);

}  // namespace sluice::engine
