#pragma once

#include <curl/curl.h>

namespace sluice::engine {

/// Has a transfer trust what this system trusts where the file that libcurl was built to read is not there: a wheel brings the libcurl of the
/// system it was made on. Linux distributions' usual places.
void trust_this_systems_certificates(CURL* easy);

}  // namespace sluice::engine
