#pragma once

#include <list>
#include <memory>
#include <vector>

#include "sockets.h"

namespace load {

// Echoes what comes to a place, by TCP and by UDP.
class Server {
 public:
  Server(Loop& loop, const Place& place);
  std::uint32_t overflowed() const;

 private:
  class Datagrams;
  class Listener;
  class Stream;

  std::shared_ptr<Datagrams> datagrams_;
  std::shared_ptr<Listener> listener_;
};

}  // namespace load
