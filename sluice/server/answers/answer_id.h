#pragma once

#include <string>

namespace sluice::server {

/// 24 letters and digits, drawn from the system's random numbers: an answer's, a call's or a message's name.
std::string new_id();

}  // namespace sluice::server
