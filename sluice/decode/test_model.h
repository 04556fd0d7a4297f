#pragma once

#include <gtest/gtest.h>
#include <mlx/device.h>

#include <filesystem>
#include <memory>

#include "sluice/decode/stepper.h"
#include "sluice/models/load.h"

namespace sluice::decode {

/// A model on the test's thread, which then owns MLX's stream, and what steps of it need.
class ModelTest : public testing::Test {
 protected:
  ModelTest(const std::filesystem::path& model, int n_threads,
            const models::LoadOptions& options = {})
      : pool(n_threads),
        loaded((mx::set_default_device(mx::Device::cpu), models::load_model(model, options))) {}

  nn::KvCache empty() { return {layout, kv_pool}; }

  ThreadPool pool;
  models::LoadedModel loaded;
  ops::ErrorSlot errors;
  ops::Scratch scratch;
  residency::KvPool kv_pool;
  std::shared_ptr<const nn::KvLayout> layout =
      std::make_shared<const nn::KvLayout>(loaded.model->kv_layout());
  ops::Context context{
      mx::new_stream(mx::Device::cpu), pool, kernels::kernels(), *loaded.store, errors, scratch};
  Stepper stepper{*loaded.model, context};
};

}  // namespace sluice::decode
