#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "api/backend.h"
#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace weir::api {

// HTTP/1.1 on a unix socket of mode 0600; endpoints in docs/architecture.md, "API".
// Everything runs on the thread of the io_context. A reader that is too slow loses flows and is
// told so by {"type":"lost","count":N} in its stream; the agent never waits for it.
class Server {
 public:
  struct Limits {
    std::size_t outbox_bytes = 4U << 20;  // waiting for one stream
    std::size_t sessions = 64;            // beyond: 503
  };

  // Replaces a socket file that is there. The io_context outlives the server, as does the backend.
  static Result<std::unique_ptr<Server>> listen(boost::asio::io_context& loop,
                                                const std::string& path, Backend& backend,
                                                Limits limits);
  static Result<std::unique_ptr<Server>> listen(boost::asio::io_context& loop,
                                                const std::string& path, Backend& backend) {
    return listen(loop, path, backend, Limits{});
  }
  // Ends all sessions and removes the socket file.
  virtual ~Server() = default;
};

}  // namespace weir::api
