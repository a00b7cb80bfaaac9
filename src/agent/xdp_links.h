#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/uplinks.h"
#include "dataplane/dataplane.h"
#include "sys/netlink.h"

namespace weir {

// XDP on this node's uplinks. Where a link cannot have it, TC goes on to do all the work, and the
// reason is told.
class XdpLinks {
 public:
  // Attaches where it is not; not wanted: detaches. Tells of what is new in the log.
  void refresh(Dataplane& plane, Netlink& netlink, const std::vector<Uplink>& devices, bool wanted);
  // "native", or why not; empty: not wanted.
  std::string state(const std::string& ifname) const;
  bool lacks_any() const;

 private:
  std::map<std::string, std::string> states_;
};

}  // namespace weir
