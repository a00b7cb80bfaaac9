#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "sandbox/sandbox.h"

namespace boost::asio {
class io_context;
}

namespace weir {

// RUN/cni.sock: one request document per connection, ended by the client's shutdown, one answer,
// end of stream. Mode 0600. Requests over 1 MiB and clients slower than 10 s are refused.
class CniServer {
 public:
  // Takes the place of a socket file that an earlier run left: the caller holds the node's lock.
  static Result<std::unique_ptr<CniServer>> open(boost::asio::io_context& io,
                                                 const std::string& path, Sandboxes& sandboxes);
  // Removes the socket file; connections whose answer is due are dropped.
  ~CniServer();
  CniServer(const CniServer&) = delete;
  CniServer& operator=(const CniServer&) = delete;

 private:
  class Impl;
  explicit CniServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
