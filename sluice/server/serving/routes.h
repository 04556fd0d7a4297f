#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "sluice/server/serving/service.h"

namespace sluice::server {

/// What is done for a method and a path; a path that ends with "/*" stands for all below it. HEAD is done as GET, whose
/// body is not sent.
struct Service::Route {
  std::string_view method, path;
  std::function<void(Service&, const std::shared_ptr<Exchange>&)> serve;
  bool is_public = false;  ///< without a key
};

}  // namespace sluice::server
