#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "sluice/io/reads/async_reader.h"
#include "sluice/io/reads/reader_test_files.h"

namespace sluice::io {
namespace {

class ReaderFaultTest : public ReaderTest {
 protected:
  ReaderOptions options(Tamper tamper = nullptr) const {
    ReaderOptions options = ReaderTest::options(std::move(tamper));
    options.piece_bytes = 16 << 10;
    return options;
  }
};

TEST_P(ReaderFaultTest, short_answers_are_continued) {
  const RandomFile file(500'000);
  std::mutex mutex;
  std::map<uint64_t, int> answers;  // by place, so that no piece meets another one's
  AsyncReader reader(file.files(), options([&](size_t, uint64_t offset, int64_t answer) -> int64_t {
                       const std::lock_guard lock(mutex);
                       switch (answers[offset]++) {
                         case 0:
                           return -EINTR;
                         case 1:
                           return -EAGAIN;
                         case 2:
                           return answer / 2;
                         default:
                           return answer;
                       }
                     }));
  const Landing landing(1'234, 300'000);
  reader.wait(submit(reader, landing));
  EXPECT_TRUE(landing.holds(file.contents()));
  EXPECT_GT(reader.statistics().pieces, 19u + 5u);
}

TEST_P(ReaderFaultTest, a_disk_error_fails_its_read_and_no_other) {
  const RandomFile file(500'000);
  AsyncReader reader(file.files(), options([](size_t, uint64_t offset, int64_t answer) -> int64_t {
                       return offset == 32'768 ? -EIO : answer;
                     }));
  const Landing bad(1'000, 100'000);
  const Landing good(200'000, 100'000);
  const auto tickets = reader.submit(std::vector{bad.request(), good.request()});
  const Error error = error_of([&] { reader.wait(tickets); });
  EXPECT_EQ(error.kind(), ErrorKind::io);
  EXPECT_EQ(std::string(error.what()), file.path().string() +
                                           ": reading 16384 bytes at 32768 failed: Input/output "
                                           "error; check the disk");
  EXPECT_EQ(tickets[0]->state(), ReadState::failed);
  reader.wait(tickets[1]);
  EXPECT_TRUE(good.holds(file.contents()));
  EXPECT_EQ(reader.statistics().failed, 1u);
}

TEST_P(ReaderFaultTest, an_answer_that_never_gets_on_ends_in_an_error) {
  const RandomFile file(100'000);
  AsyncReader reader(file.files(),
                     options([](size_t, uint64_t, int64_t) -> int64_t { return -EAGAIN; }));
  const Landing landing(0, 1'000);
  EXPECT_EQ(error_of([&] { reader.wait(submit(reader, landing)); }).kind(), ErrorKind::io);
}

TEST_P(ReaderFaultTest, a_truncated_file_is_an_error) {
  for (const bool direct : {true, false}) {
    const RandomFile file(200'000);
    ReaderOptions some = options();
    some.direct = direct;
    AsyncReader reader(file.files(), some);
    ASSERT_EQ(::truncate(file.path().c_str(), 70'000), 0);
    const Landing landing(50'000, 100'000);
    const Error error = error_of([&] { reader.wait(submit(reader, landing)); });
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_NE(std::string(error.what()).find("weights.bin"), std::string::npos) << error.what();
    const Landing gone(150'000, 10);
    EXPECT_EQ(error_of([&] { reader.wait(submit(reader, gone)); }).kind(), ErrorKind::io);
  }
}

TEST_P(ReaderFaultTest, a_file_that_was_written_to_is_an_error) {
  const RandomFile file(200'000);
  AsyncReader reader(file.files(), options());
  const Landing before(0, 50'000);
  reader.wait(submit(reader, before));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a tick of the file system's clock
  std::fstream(file.path(), std::ios::in | std::ios::out | std::ios::binary).put('!');
  const Landing after(100'000, 50'000);
  const Error error = error_of([&] { reader.wait(submit(reader, after)); });
  EXPECT_EQ(error.kind(), ErrorKind::io);
  EXPECT_NE(std::string(error.what()).find("was written to"), std::string::npos) << error.what();
}

TEST_P(ReaderFaultTest, a_file_replaced_by_another_is_read_on) {
  const RandomFile file(200'000);
  const RandomFile other(200'000, 2);
  AsyncReader reader(file.files(), options());
  std::filesystem::rename(other.path(), file.path());
  const Landing landing(0, 200'000);
  reader.wait(submit(reader, landing));
  EXPECT_TRUE(landing.holds(file.contents()));
}

TEST_P(ReaderFaultTest, a_file_of_another_length_than_listed_is_refused) {
  const RandomFile file(200'000);
  auto files = file.files();
  files[0].bytes = 200'001;
  EXPECT_EQ(error_of([&] { AsyncReader(files, options()); }).kind(), ErrorKind::io);
  files[0].path = "absent";
  EXPECT_EQ(error_of([&] { AsyncReader(files, options()); }).kind(), ErrorKind::io);
}

TEST_P(ReaderFaultTest, a_slow_disk_is_waited_for) {
  const RandomFile file(200'000);
  AsyncReader reader(file.files(), options([](size_t, uint64_t, int64_t answer) {
                       std::this_thread::sleep_for(std::chrono::milliseconds(3));
                       return answer;
                     }));
  std::deque<Landing> landings;
  std::vector<ReadRequest> requests;
  for (uint64_t i = 0; i < 5; ++i) {
    requests.push_back(landings.emplace_back(i * 40'000, 40'000).request());
  }
  reader.wait(reader.submit(requests));
  for (const Landing& landing : landings) EXPECT_TRUE(landing.holds(file.contents()));
  EXPECT_GE(reader.statistics().waited_seconds, 0.003);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ReaderFaultTest, kReaderKinds, reader_name);

}  // namespace
}  // namespace sluice::io
