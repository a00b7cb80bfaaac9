#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <vector>

#include "agent/health.h"
#include "compile/service_tracker.h"
#include "dataplane/dataplane.h"
#include "state/store.h"

namespace weir {

// Services of the store -> the kernel's tables and the health check ports. Changes that come
// together are written together; what was refused or failed is tried again.
class ServiceFlow {
 public:
  // Listens to the store from now on; all live until the end.
  ServiceFlow(boost::asio::io_context& loop, Store& store, Dataplane& plane,
              ServiceContext context);
  ServiceFlow(const ServiceFlow&) = delete;
  ServiceFlow& operator=(const ServiceFlow&) = delete;

  // The first complete list is in the store: writes all of it, then removes what nobody wants.
  void start();
  // After a change of the store.
  void changed();
  // The same, and what changed is in the tables when it returns.
  void changed_now();

  std::vector<std::string> warnings() const;
  const ServiceTracker& tracker() const { return tracker_; }
  const HealthServers& health() const { return health_; }

 private:
  void soon();
  void retry_later();
  void take();
  static void note(const ServiceTables::Applied& applied);
  void tell_health();
  bool node_leaves() const;

  Store& store_;
  Dataplane& plane_;
  ServiceTracker tracker_;
  HealthServers health_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer retry_timer_;
  bool started_ = false;
  bool pending_ = false;
  bool retrying_ = false;
  bool leaving_ = false;
  std::vector<std::string> conflicts_;
  std::vector<std::string> closed_ports_;  // as logged
};

}  // namespace weir
