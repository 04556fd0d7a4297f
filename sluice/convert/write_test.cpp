#include "sluice/convert/write.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"
#include "sluice/convert/encode.h"
#include "sluice/convert/safetensors_out.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::convert {
namespace {

using kernels::Format;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Ten matrices of floats in one file, to be packed to 4 bits.
struct Fixture {
  io::TestDirectory directory;
  Plan plan;

  Fixture() {
    constexpr int64_t n_rows = 40, n_cols = 128, n_matrices = 10;
    std::vector<float> values(n_rows * n_cols * n_matrices);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(i * 7919 % 1009) - 500;
    plan.sources = {directory.path() / "source"};
    std::ofstream(plan.sources[0], std::ios::binary)
        .write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(float)));
    for (int64_t i = 0; i < n_matrices; ++i) {
      residency::Weight source;
      source.matrix = layout_of(Format::f32, n_rows, n_cols);
      source.data.offset = static_cast<uint64_t>(i * n_rows * n_cols) * sizeof(float);
      Product product{.name = "m" + std::to_string(i) + ".weight",
                      .shape = {n_rows, n_cols},
                      .sources = {source},
                      .target = {}};
      product.target.matrix = layout_of(Format::affine, n_rows, n_cols, 4, 64, Format::f16);
      plan.products.push_back(std::move(product));
    }
    lay_out_safetensors(plan, 8000);  // some shards
  }

  std::filesystem::path make(const std::string& name) const {
    std::filesystem::create_directory(directory.path() / name);
    return directory.path() / name;
  }
};

struct Killed {};

TEST(WritePlan, what_was_cut_short_is_taken_up_and_ends_in_the_same_bytes) {
  const Fixture f;
  const auto whole = f.make("whole"), cut = f.make("cut");
  write_plan(f.plan, whole, {.n_threads = 2});
  WriteOptions dies{.n_threads = 1, .buffers = {3000}};
  dies.journal_every = std::chrono::milliseconds(0);
  dies.progress = [&](const Progress& p) {
    if (2 * p.done.count > p.all.count) throw Killed();
  };
  EXPECT_THROW(write_plan(f.plan, cut, dies), Killed);
  const Written written = write_plan(f.plan, cut, {.n_threads = 3});
  EXPECT_GT(written.resumed.count, 0u);
  for (const PlannedFile& file : f.plan.files)
    EXPECT_EQ(content(whole / file.name), content(cut / file.name)) << file.name;
  EXPECT_FALSE(std::filesystem::exists(cut / kJournal));
}

TEST(WritePlan, bytes_that_the_disk_changed_are_noticed) {
  const Fixture f;
  const auto out = f.make("out");
  WriteOptions damages{.n_threads = 1};
  damages.progress = [&](const Progress& p) {
    if (p.stage != Progress::Stage::writing || p.done.count < p.all.count / 2) return;
    std::fstream file(out / f.plan.files[0].name, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(f.plan.files[0].header.size() + 5));
    file.put('!');
  };
  EXPECT_THROW(write_plan(f.plan, out, damages), Error);
}

TEST(WritePlan, the_journal_of_another_plan_is_not_believed) {
  Fixture f;
  const auto out = f.make("out"), whole = f.make("whole");
  WriteOptions dies{.n_threads = 1};
  dies.journal_every = std::chrono::milliseconds(0);
  dies.progress = [](const Progress& p) {
    if (2 * p.done.count > p.all.count) throw Killed();
  };
  EXPECT_THROW(write_plan(f.plan, out, dies), Killed);
  EXPECT_EQ(write_plan(f.plan, out, {.n_threads = 1, .settings = "others"}).resumed.count, 0u);
}

}  // namespace
}  // namespace sluice::convert
