#pragma once

#include <string>

#include "sluice/server/http/request_head.h"

namespace sluice::server {

/// Which trace a request belongs to (W3C Trace Context). Both empty: none, or what it brought is none.
struct TraceContext {
  std::string trace_id = {};   ///< 32 hexadecimal digits
  std::string parent_id = {};  ///< 16 of them
  std::string flags = {};      ///< 2 of them

  bool empty() const { return trace_id.empty(); }
  /// "00-TRACE-PARENT-FLAGS", as it is given back; empty where there is none.
  std::string header() const;
};

/// From the request's only `traceparent`. A later version than 00 is read as far as 00 goes.
TraceContext trace_context_of(const RequestHead& head);

}  // namespace sluice::server
