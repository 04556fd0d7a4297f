#include "sluice/base/digest.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Digest, sha256_is_that_of_fips_180) {
  Digest digest = Digest::sha256();
  digest.update("a");
  digest.update("bc");
  EXPECT_EQ(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, a_git_blob_is_what_git_hash_object_prints) {
  Digest digest = Digest::git_blob(6);
  digest.update("hello\n");
  EXPECT_EQ(digest.hex(), "ce013625030ba8dba906f756967f9e9ca394464a");
}

}  // namespace
}  // namespace sluice
