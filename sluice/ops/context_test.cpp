#include "sluice/ops/context.h"

#include <gtest/gtest.h>

#include <thread>

namespace sluice::ops {
namespace {

TEST(CancelScope, whoever_cancels_ends_the_step_of_its_scope_alone) {
  ErrorSlot errors;
  std::atomic<bool> outer{false}, inner{true};
  {
    const CancelScope scope(errors, &outer);
    EXPECT_FALSE(errors.is_set());
    {
      const CancelScope within(errors, &inner);
      EXPECT_TRUE(errors.is_set());
    }
    EXPECT_TRUE(errors.is_set()) << "what was ended stays so until somebody has seen it";
    EXPECT_FALSE(errors.rethrow());
    outer = true;
    EXPECT_TRUE(errors.is_set());
    errors.clear();
  }
  EXPECT_FALSE(errors.is_set()) << "nobody asks whether it was cancelled any more";
}

TEST(CancelScope, tasks_may_ask_while_scopes_come_and_go_and_another_thread_cancels) {
  ErrorSlot errors;
  std::atomic<bool> done{false};
  std::thread task([&] {
    while (!done) (void)errors.is_set();
  });
  for (int i = 0; i < 2000; ++i) {
    const auto cancel = std::make_unique<std::atomic<bool>>(false);  // gone after its scope
    const CancelScope scope(errors, cancel.get());
    if (i % 50 != 0) {
      EXPECT_TRUE(errors.rethrow()) << "nobody cancelled";
      continue;
    }
    std::thread([&] { *cancel = true; }).join();
    EXPECT_TRUE(errors.is_set());
    EXPECT_FALSE(errors.rethrow());
    {
      const CancelScope nobody(errors, nullptr);
      errors.clear();
      EXPECT_FALSE(errors.is_set());
    }
    *cancel = false;
    errors.clear();
  }
  done = true;
  task.join();
}

TEST(ErrorSlot, of_many_failures_at_once_one_is_thrown) {
  ErrorSlot errors;
  for (int round = 0; round < 50; ++round) {
    std::vector<std::thread> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.emplace_back([&, i] {
        if (!errors.is_set()) errors.set(std::make_exception_ptr(i));
      });
    }
    for (auto& task : tasks) task.join();
    EXPECT_THROW(errors.rethrow(), int);
    EXPECT_TRUE(errors.rethrow());
  }
}

}  // namespace
}  // namespace sluice::ops
