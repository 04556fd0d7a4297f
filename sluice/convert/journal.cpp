#include "sluice/convert/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sluice/base/atomic_file.h"
#include "sluice/base/digest.h"
#include "sluice/base/error.h"
#include "sluice/io/file.h"
#include "sluice/io/formats/json_file.h"

namespace sluice::convert {
namespace {

/// Raised when the same plan would give other bytes.
constexpr int kVersion = 1;

std::string text_of(const residency::Weight& w) {
  const kernels::Matrix& m = w.matrix;
  return fmt::format("{} {} {} {} {} {} {} {}:{} {}:{} {}:{};", static_cast<int>(m.format),
                     static_cast<int>(m.scale_type), m.bits, m.group_size, m.rows, m.cols,
                     m.row_bytes, w.data.file, w.data.offset, w.scales.file, w.scales.offset,
                     w.biases.file, w.biases.offset);
}

}  // namespace

std::string fingerprint(const Plan& plan, const std::string& settings) {
  Digest digest = Digest::sha256();
  digest.update(fmt::format("{} {}\n", kVersion, settings));
  for (const auto& path : plan.sources) {
    const io::FileStamp stamp = io::File::open(path).stamp();
    digest.update(fmt::format("{} {} {} {}\n", std::filesystem::absolute(path).string(),
                              stamp.inode, stamp.bytes, stamp.modified_ns));
  }
  for (const PlannedFile& file : plan.files)
    digest.update(fmt::format("{} {} {}\n", file.name, file.bytes, file.header));
  for (const Product& product : plan.products) {
    const Change& change = product.change;
    digest.update(fmt::format("{} {} {} {} {} {} ", product.name, product.column_path,
                              product.repacked, static_cast<int>(change.rows), change.n_heads,
                              change.added));
    digest.update({reinterpret_cast<const char*>(product.values.data()),
                   product.values.size() * sizeof(float)});
    for (const residency::Weight& source : product.sources) digest.update(text_of(source));
    digest.update(text_of(product.target) + "\n");
  }
  return digest.hex();
}

Journal read_journal(const std::filesystem::path& path, const std::string& plan) {
  Journal journal{.plan = plan, .tags = {}};
  if (!std::filesystem::exists(path)) return journal;
  try {
    const nlohmann::json json = io::read_json_file(path);
    if (json.at("plan") == plan) journal.tags = json.at("tags").get<std::vector<std::string>>();
  } catch (const Error&) {
    return journal;  // cut short: the work is done again
  } catch (const nlohmann::json::exception&) {
    return journal;
  }
  return journal;
}

void write_journal(const std::filesystem::path& path, const Journal& journal) {
  write_file_atomically(path,
                        nlohmann::json{{"plan", journal.plan}, {"tags", journal.tags}}.dump());
}

}  // namespace sluice::convert
