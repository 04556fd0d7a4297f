#include "sluice/server/page/page.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

#include "sluice/server/page/page_files.h"

namespace sluice::server {
namespace {

TEST(Page, RootIsTheDocumentAndEveryFileItNamesIsThere) {
  const std::optional<PageFile> root = page_file("/");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->content_type, "text/html; charset=utf-8");
  EXPECT_TRUE(root->bytes.starts_with("<!doctype html>"));
  for (size_t at = root->bytes.find("\"page/"); at != std::string_view::npos;) {
    const size_t end = root->bytes.find('"', at + 1);
    const std::string path = "/" + std::string(root->bytes.substr(at + 1, end - at - 1));
    EXPECT_TRUE(page_file(path)) << path;
    at = root->bytes.find("\"page/", end);
  }
}

TEST(Page, EveryModuleThatIsImportedIsThere) {
  for (const NamedPageFile& file : page_files) {
    const std::string_view text = file.file.bytes;
    for (size_t at = text.find("from './"); at != std::string_view::npos;) {
      const size_t end = text.find('\'', at + 8);
      const std::string path = "/page/" + std::string(text.substr(at + 8, end - at - 8));
      EXPECT_TRUE(page_file(path)) << file.name << " imports " << path;
      at = text.find("from './", end);
    }
  }
}

TEST(Page, TypesAreThoseABrowserWants) {
  EXPECT_EQ(page_file("/page/app.js")->content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(page_file("/page/base.css")->content_type, "text/css; charset=utf-8");
  EXPECT_EQ(page_file("/favicon.ico")->content_type, "image/svg+xml");
}

TEST(Page, TagsAreQuotedAndDifferFromFileToFile) {
  const std::string_view app = page_file("/page/app.js")->etag,
                         chat = page_file("/page/chat.js")->etag;
  EXPECT_TRUE(app.size() > 10 && app.front() == '"' && app.back() == '"') << app;
  EXPECT_NE(app, chat);
}

TEST(Page, NothingElseIsServed) {
  for (const char* path :
       {"", "/page", "/page/", "/page/../page.h", "/page/page.cpp", "/page/README.md",
        "/index.html", "/page//app.js", "/page/app.js/", "page/app.js"}) {
    EXPECT_FALSE(page_file(path)) << path;
  }
}

}  // namespace
}  // namespace sluice::server
