#include "sluice/engine/hub/model_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <functional>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace fs = std::filesystem;
namespace {

class ModelStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "sluice-store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    scratch_ = pattern;
  }
  void TearDown() override { fs::remove_all(scratch_); }

  fs::path write(const fs::path& relative, const std::string& text = "x") const {
    const fs::path path = scratch_ / relative;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path;
  }
  ModelStore store() const { return ModelStore(scratch_ / "root"); }
  std::string message_of(std::string_view model) const {
    try {
      return "resolved to " + store().resolve(model).string();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request);
      return error.what();
    }
  }

  fs::path scratch_;
};

TEST(ModelNames, only_plain_names_become_paths) {
  for (const char* name :
       {"a", "org/name", "org/name:Q4_K_M", "gemma-3-270m-q4_k_m", "a/b:f.gguf"}) {
    EXPECT_TRUE(is_model_name(name)) << name;
  }
  for (const char* name :
       {"",    "/",    "a/",   "/a", "..", "../a",  "a/..",   "a/../b", "a/b/c", ".a",      "-rf",
        "a b", "a\\b", "a\nb", "a:", ":a", "a:b:c", "a:../b", "a..b",   "a:b/c", "\xc3\xa9"}) {
    EXPECT_FALSE(is_model_name(name)) << name;
  }
  EXPECT_FALSE(is_model_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_model_name(std::string(97, 'a')));
}

TEST(ModelNames, quantizations_are_read_from_file_names) {
  EXPECT_EQ(quantization_tag("gemma-3-270m-it-q4_k_m.gguf"), "Q4_K_M");
  EXPECT_EQ(quantization_tag("model_Q8_0.gguf"), "Q8_0");
  EXPECT_EQ(quantization_tag("model.IQ4_XS.gguf"), "IQ4_XS");
  EXPECT_EQ(quantization_tag("m-UD-Q4_K_XL-00001-of-00002.gguf"), "Q4_K_XL");
  EXPECT_EQ(quantization_tag("gpt-oss-20b-mxfp4.gguf"), "MXFP4");
  EXPECT_EQ(quantization_tag("qwen3-8b.gguf"), std::nullopt);
}

TEST(ModelNames, parts_of_a_split_file_share_a_stem) {
  EXPECT_EQ(gguf_part("m-Q4_0-00002-of-00003.gguf").stem, "m-Q4_0");
  EXPECT_EQ(gguf_part("m-Q4_0-00002-of-00003.gguf").part, 2);
  EXPECT_EQ(gguf_part("m-0000a-of-00003.gguf").stem, "m-0000a-of-00003");
  EXPECT_EQ(gguf_part("m.gguf").part, 1);
}

TEST_F(ModelStoreTest, the_root_comes_from_the_environment) {
  ::setenv("HOME", "/h", 1);
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("SLUICE_HOME");
  EXPECT_EQ(ModelStore::default_root(), "/h/.cache/sluice");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(ModelStore::default_root(), "/h/.cache/sluice");
  ::setenv("XDG_CACHE_HOME", "/c", 1);
  EXPECT_EQ(ModelStore::default_root(), "/c/sluice");
  ::setenv("SLUICE_HOME", "/s", 1);
  EXPECT_EQ(ModelStore::default_root(), "/s");
}

TEST_F(ModelStoreTest, without_a_home_paths_are_taken_and_names_say_what_to_set) {
  for (const char* name : {"HOME", "XDG_CACHE_HOME", "SLUICE_HOME"}) ::unsetenv(name);
  const ModelStore homeless;
  EXPECT_EQ(homeless.root(), "");
  EXPECT_EQ(homeless.resolve(write("a/model.safetensors").parent_path().string()), scratch_ / "a");
  EXPECT_EQ(homeless.resolve(write("b.gguf").string()), scratch_ / "b.gguf");
  for (const auto& needs_a_store :
       {std::function<void()>([&] { (void)homeless.resolve("org/name"); }),
        std::function<void()>([&] { (void)homeless.list(); }),
        std::function<void()>([&] { (void)homeless.remove("org/name"); })}) {
    try {
      needs_a_store();
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request);
      EXPECT_NE(std::string(error.what()).find("SLUICE_HOME"), std::string::npos) << error.what();
    }
  }
}

TEST_F(ModelStoreTest, a_path_that_exists_is_taken_as_it_is) {
  const fs::path gguf = write("m.gguf");
  write("plain/config.json");
  EXPECT_EQ(store().resolve(gguf.string()), gguf);
  EXPECT_EQ(store().resolve((scratch_ / "plain").string()), scratch_ / "plain");
  EXPECT_NE(message_of(write("m.txt").string()).find("neither"), std::string::npos);
}

TEST_F(ModelStoreTest, a_directory_of_one_gguf_resolves_to_its_first_part) {
  const fs::path first = write("root/models/org/g/m-Q4_0-00001-of-00002.gguf");
  write("root/models/org/g/m-Q4_0-00002-of-00002.gguf");
  write("root/models/org/g/mmproj-m.gguf");
  EXPECT_EQ(store().resolve("org/g"), first);
  write("root/models/org/g/other.gguf");
  EXPECT_NE(message_of("org/g").find("2 GGUF models"), std::string::npos);
}

TEST_F(ModelStoreTest, a_hub_is_asked_for_what_is_not_here_and_may_be_there) {
  write("root/models/org/here/model.safetensors");
  write("root/models/org/partly/.incomplete");
  EXPECT_TRUE(store().lacks("org/absent"));
  EXPECT_TRUE(store().lacks("org/absent:Q4_K_M"));
  EXPECT_TRUE(store().lacks("org/partly"));
  for (const std::string& model :
       {std::string("org/here"), std::string("name"), std::string("a/b/c"), std::string("../x"),
        (scratch_ / "root").string()}) {
    EXPECT_FALSE(store().lacks(model)) << model;
  }
}

TEST_F(ModelStoreTest, a_missing_model_is_answered_with_the_command_that_gets_it) {
  EXPECT_NE(message_of("org/name").find("`sluice pull org/name`"), std::string::npos);
  EXPECT_NE(message_of("name").find("`sluice list`"), std::string::npos);
  EXPECT_NE(message_of(kDefaultModel).find("`make run`"), std::string::npos);
  EXPECT_NE(message_of("../no/such").find("no model"), std::string::npos);
  EXPECT_NE(message_of("").find("empty"), std::string::npos);
}

TEST_F(ModelStoreTest, a_half_pulled_model_is_listed_as_such_and_never_resolved) {
  write("root/models/org/name/model.safetensors");
  write("root/models/org/name/.incomplete");
  EXPECT_NE(message_of("org/name").find("only partly here"), std::string::npos);
  ASSERT_EQ(store().list().size(), 1u);
  EXPECT_FALSE(store().list()[0].complete);
}

TEST_F(ModelStoreTest, models_are_listed_with_size_format_and_quantization) {
  write("root/models/org/a/model.safetensors", "12345");
  write("root/models/org/a/config.json", R"({"quantization": {"group_size": 64, "bits": 4}})");
  write("root/models/org/b/model.safetensors");
  write("root/models/org/b/config.json", R"({"torch_dtype": "bfloat16"})");
  write("root/models/org/c:Q8_0/m-Q8_0.gguf");
  write("root/models/org/d:m.gguf/m.gguf");
  write("root/models/single.gguf");
  write("root/models/not a model/x.gguf");
  write("root/models/notes/readme.txt");
  write("root/models/bad/model.safetensors");
  write("root/models/bad/config.json", "[{");
  const auto models = store().list();
  ASSERT_EQ(models.size(), 6u);
  EXPECT_EQ(models[0].name, "bad");
  EXPECT_EQ(models[0].quantization, "");
  EXPECT_EQ(models[1].name, "org/a");
  EXPECT_EQ(models[1].quantization, "4-bit");
  EXPECT_GT(models[1].bytes.count, 5u);
  EXPECT_GT(models[1].modified, 0);
  EXPECT_EQ(models[2].quantization, "bfloat16");
  EXPECT_EQ(models[3].name, "org/c:Q8_0");
  EXPECT_EQ(models[3].format, ModelFormat::gguf);
  EXPECT_EQ(models[3].quantization, "Q8_0");
  EXPECT_EQ(models[4].name, "org/d:m.gguf");
  EXPECT_EQ(models[5].name, "single.gguf");
}

TEST_F(ModelStoreTest, an_absent_store_is_empty) { EXPECT_TRUE(store().list().empty()); }

TEST_F(ModelStoreTest, removing_deletes_one_model_and_an_emptied_organisation) {
  write("root/models/org/a/model.safetensors", "12345");
  write("root/models/org/b/model.safetensors");
  EXPECT_EQ(store().remove("org/a").count, 5u);
  EXPECT_FALSE(fs::exists(scratch_ / "root/models/org/a"));
  EXPECT_TRUE(fs::exists(scratch_ / "root/models/org/b"));
  store().remove("org/b");
  EXPECT_FALSE(fs::exists(scratch_ / "root/models/org"));
  EXPECT_TRUE(fs::exists(scratch_ / "root/models"));
}

TEST_F(ModelStoreTest, removing_never_leaves_the_store) {
  write("victim/model.safetensors");
  write("root/models/org/a/model.safetensors");
  for (const char* name : {"../victim", "../../victim", "org/../../victim", "org", "", "."}) {
    EXPECT_THROW(store().remove(name), Error) << name;
  }
  EXPECT_THROW(store().remove((scratch_ / "victim").string()), Error);
  EXPECT_TRUE(fs::exists(scratch_ / "victim/model.safetensors"));
}

TEST_F(ModelStoreTest, removing_does_not_follow_symbolic_links) {
  write("victim/model.safetensors");
  write("victims/a/model.safetensors");
  write("root/models/b/model.safetensors");
  fs::create_directory_symlink(scratch_ / "victim", scratch_ / "root/models/linked");
  fs::create_directory_symlink(scratch_ / "victims", scratch_ / "root/models/org");
  fs::create_directory_symlink(scratch_ / "victim", scratch_ / "root/models/b/inside");
  EXPECT_EQ(store().remove("linked").count, 0u);
  EXPECT_THROW(store().remove("org/a"), Error);
  store().remove("b");
  EXPECT_FALSE(fs::exists(fs::symlink_status(scratch_ / "root/models/linked")));
  EXPECT_TRUE(fs::exists(scratch_ / "victim/model.safetensors"));
  EXPECT_TRUE(fs::exists(scratch_ / "victims/a/model.safetensors"));
}

TEST_F(ModelStoreTest, a_model_that_is_being_pulled_is_not_removed) {
  write("root/models/a/model.safetensors");
  const DirectoryLock lock(scratch_ / "root/models/a");
  EXPECT_THROW(store().remove("a"), Error);
  EXPECT_TRUE(fs::exists(scratch_ / "root/models/a/model.safetensors"));
}

}  // namespace
}  // namespace sluice::engine
