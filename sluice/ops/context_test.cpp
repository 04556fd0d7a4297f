#include "sluice/ops/context.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace sluice::ops {
namespace {

TEST(ErrorSlot, the_last_of_those_who_share_a_step_to_cancel_ends_it) {
  ErrorSlot errors;
  std::atomic<bool> one{false}, other{false};
  errors.set_cancels({&one, &other});
  EXPECT_FALSE(errors.is_set());
  one = true;
  EXPECT_FALSE(errors.is_set()) << "somebody wants it still";
  other = true;
  EXPECT_TRUE(errors.is_set());
  one = false;
  EXPECT_TRUE(errors.is_set()) << "what was ended stays so";
  EXPECT_FALSE(errors.check());
}

TEST(ErrorSlot, what_ends_a_step_ends_the_one_that_takes_its_results) {
  ErrorSlot first;
  {
    ErrorSlot next;
    next.follow(&first);
    EXPECT_FALSE(next.is_set());
    next.end();
    EXPECT_FALSE(first.is_set()) << "not the other way round";
  }
  ErrorSlot next, computed;
  next.follow(&first);
  computed.follow(&first);
  computed.follow(nullptr);
  first.set(std::make_exception_ptr(7));
  EXPECT_TRUE(next.is_set());
  EXPECT_FALSE(next.check()) << "the error is the other step's";
  EXPECT_FALSE(computed.is_set());
  EXPECT_THROW(first.check(), int);
}

TEST(ErrorSlot, tasks_of_two_steps_may_ask_while_another_thread_cancels) {
  for (int round = 0; round < 300; ++round) {
    std::atomic<bool> cancel{false};
    ErrorSlot first, next;
    first.set_cancels({&cancel});
    next.follow(&first);
    std::thread task([&] {
      while (!next.is_set()) std::this_thread::yield();
    });
    std::thread canceller([&] { cancel = true; });
    task.join();
    canceller.join();
    EXPECT_FALSE(first.check());
  }
}

TEST(ErrorSlot, of_many_failures_at_once_one_is_thrown) {
  for (int round = 0; round < 50; ++round) {
    ErrorSlot errors;
    std::vector<std::thread> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.emplace_back([&, i] {
        if (!errors.is_set()) errors.set(std::make_exception_ptr(i));
      });
    }
    for (auto& task : tasks) task.join();
    EXPECT_TRUE(errors.is_set());
    EXPECT_THROW(errors.check(), int);
  }
}

}  // namespace
}  // namespace sluice::ops
