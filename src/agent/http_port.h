#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace weir {

struct HttpAnswer {
  unsigned status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// Small HTTP/1.1 answers to anybody who asks on a TCP port of all of this node's addresses, IPv4
// and IPv6. Strangers may reach it: requests, sessions and patience are bounded. Everything runs on
// the thread of the io_context, which outlives it.
class HttpPort {
 public:
  using OnRequest = std::function<HttpAnswer(std::string_view path)>;
  static constexpr std::size_t kMostSessions = 64;  // beyond, the oldest is closed

  // The errors' text is the kernel's reason only: the caller knows whose port it is.
  static Result<std::unique_ptr<HttpPort>> listen(boost::asio::io_context& loop, std::uint16_t port,
                                                  OnRequest on_request);
  // Ends all sessions.
  virtual ~HttpPort() = default;

  virtual std::uint16_t port() const = 0;
};

}  // namespace weir
