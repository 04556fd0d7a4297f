#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "sluice/io/formats/test_files.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::residency {
namespace {

constexpr Bytes kBlock{10'000};  // no round size, nor are its parts
const std::vector<KvPart> kParts{{0, 3000}, {3000, 5000}, {8000, 2000}};

std::string random_bytes(unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(kBlock.count, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

class Spill : public ::testing::Test {
 protected:
  KvSpillOptions options() const { return {.folder = directory.path(), .keep_free = {}}; }
  std::shared_ptr<KvBlock> block(KvPool& pool, const std::string& bytes) const {
    auto made = std::make_shared<KvBlock>(pool, kBlock);
    std::memcpy(made->data(), bytes.data(), bytes.size());
    return made;
  }
  io::TestDirectory directory;
};

TEST_F(Spill, blocks_come_back_whole_and_in_parts_and_leave_no_file) {
  KvPool pool({4 * 12288});
  pool.spill_to(options(), {32768});
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  std::vector<std::shared_ptr<KvBlock>> blocks;
  std::vector<std::string> bytes;
  for (unsigned i = 0; i < 20; ++i) {  // many more than the pool has room for
    bytes.push_back(random_bytes(i));
    blocks.push_back(block(pool, bytes.back()));
    ASSERT_TRUE(blocks.back()->spill(kParts));
    EXPECT_FALSE(blocks.back()->in_memory());
  }
  EXPECT_EQ(pool.in_use(), Bytes{});
  for (size_t round = 0; round < 3; ++round) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      for (size_t part = 0; part < kParts.size(); ++part) {
        pool.stage().bring({{blocks[i]->stored(), part}, {blocks[19 - i]->stored(), 1}});
        pool.stage().expect({{blocks[(i + 1) % 20]->stored(), part}, {blocks[i]->stored(), 1}});
        EXPECT_EQ(std::memcmp(pool.stage().at(0), bytes[i].data() + kParts[part].offset,
                              kParts[part].bytes),
                  0);
        EXPECT_EQ(std::memcmp(pool.stage().at(1), bytes[19 - i].data() + 3000, 5000), 0);
      }
      ASSERT_TRUE(blocks[i]->restore());
      EXPECT_EQ(std::memcmp(blocks[i]->data(), bytes[i].data(), kBlock.count), 0);
      ASSERT_TRUE(blocks[i]->spill(kParts));
    }
  }
  EXPECT_EQ(pool.spill()->report().written, Bytes{20 * 12288}) << "each once";
  {
    const std::vector<KvStage::Wanted> many(9, {blocks[0]->stored(), 1});
    pool.stage().expect(many);  // more than there is room for
    EXPECT_THROW(pool.stage().bring(many), Error);
    pool.stage().bring({many[0]});
  }
  EXPECT_EQ(std::memcmp(pool.stage().at(0), bytes[0].data() + 3000, 5000), 0);
  blocks.clear();
  pool.stage().bring({});
  pool.stage().expect({});
  EXPECT_EQ(pool.spill()->report().held, Bytes{});
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST_F(Spill, a_changed_bit_is_found) {
  bool damages = false;
  KvSpillOptions damaging = options();
  damaging.tamper = [&](std::span<std::byte> read) {
    if (damages) read[read.size() / 2] ^= std::byte{1};
  };
  KvPool pool;
  pool.spill_to(damaging, {32768});
  const std::string bytes = random_bytes(1);
  const auto one = block(pool, bytes);
  ASSERT_TRUE(one->spill(kParts));
  damages = true;
  EXPECT_THROW(one->restore(), SpillError);
  EXPECT_TRUE(one->is_lost());
  EXPECT_EQ(pool.in_use(), Bytes{});
  EXPECT_THROW(pool.stage().bring({{one->stored(), 0}}), SpillError);
  damages = false;
  pool.stage().bring({{one->stored(), 0}});
  EXPECT_TRUE(one->is_lost()) << "nobody begins with it again, though this time it came back";
  ASSERT_TRUE(one->restore());
  EXPECT_FALSE(one->is_lost());
  EXPECT_EQ(std::memcmp(one->data(), bytes.data(), kBlock.count), 0);
}

TEST_F(Spill, what_another_block_or_this_place_had_before_is_found) {
  std::vector<std::byte> before;
  KvSpillOptions replaying = options();
  replaying.tamper = [&](std::span<std::byte> read) {
    if (before.empty()) before.assign(read.begin(), read.end());
    std::copy_n(before.begin(), std::min(before.size(), read.size()), read.begin());
  };
  KvPool pool;
  pool.spill_to(replaying, {32768});
  auto old = block(pool, random_bytes(1));
  ASSERT_TRUE(old->spill(kParts));
  ASSERT_TRUE(old->restore());
  const auto other = block(pool, random_bytes(2));
  ASSERT_TRUE(other->spill(kParts));
  EXPECT_THROW(other->restore(), SpillError) << "the same bytes, of another block";
  old.reset();
  const auto next = block(pool, random_bytes(3));
  ASSERT_TRUE(next->spill(kParts));
  EXPECT_EQ(pool.spill()->report().held, Bytes{2 * 12288}) << "the old one's place is taken";
  EXPECT_THROW(next->restore(), SpillError);
}

TEST_F(Spill, limits_and_pins_leave_blocks_where_they_are) {
  KvSpillOptions one = options();
  one.limit = {12288};
  KvPool pool;
  pool.spill_to(one, {32768});
  const auto first = block(pool, random_bytes(1)), second = block(pool, random_bytes(2));
  {
    const KvBlock::Pin pin(*first);
    EXPECT_TRUE(pin);
    EXPECT_FALSE(first->spill(kParts));
  }
  EXPECT_TRUE(first->spill(kParts));
  EXPECT_FALSE(KvBlock::Pin(*first));
  EXPECT_FALSE(pool.spill()->may_write_unused()) << "half of the limit is for sequences";
  EXPECT_FALSE(second->spill(kParts));
  EXPECT_TRUE(second->in_memory());
  EXPECT_NE(pool.spill()->why_not().find("--spill-limit"), std::string::npos);
  KvSpillOptions few = options();
  few.most_blocks = 2;
  KvPool small;
  small.spill_to(few, {32768});
  EXPECT_TRUE(small.spill()->has_place_for_unused());
  auto third = block(small, random_bytes(4));
  const auto fourth = block(small, random_bytes(5)), fifth = block(small, random_bytes(6));
  EXPECT_TRUE(third->spill(kParts));
  EXPECT_FALSE(small.spill()->has_place_for_unused());
  EXPECT_TRUE(small.spill()->may_write_unused());
  EXPECT_TRUE(fourth->spill(kParts));
  EXPECT_FALSE(fifth->spill(kParts));
  EXPECT_NE(small.spill()->why_not().find("2 blocks"), std::string::npos);
  third.reset();
  EXPECT_TRUE(fifth->spill(kParts));
  KvSpillOptions full = options();
  full.keep_free = Bytes{uint64_t{1} << 60};
  KvPool other;
  other.spill_to(full, {32768});
  EXPECT_FALSE(block(other, random_bytes(3))->spill(kParts));
  EXPECT_NE(other.spill()->why_not().find("stay free"), std::string::npos);
}

TEST_F(Spill, a_folder_that_is_none_to_write_to_is_refused) {
  KvPool pool;
  const auto file = directory.write("file", "x");
  EXPECT_THROW(pool.spill_to({.folder = file}, {32768}), Error);
  if (std::filesystem::exists("/dev/shm")) {
    EXPECT_THROW(pool.spill_to({.folder = "/dev/shm"}, {32768}), Error) << "it is memory";
  }
}

}  // namespace
}  // namespace sluice::residency
