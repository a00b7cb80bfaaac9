#include "model/host_port.h"

namespace weir {
namespace {

bool holds(const Address& all, const Address& one) {
  return all == Address() || all == one || (all == Address::v4(0) && one.is_v4());
}

}  // namespace

bool overlap(const HostPort& a, const HostPort& b) {
  return a.protocol == b.protocol && a.host_port == b.host_port &&
         (holds(a.host_ip, b.host_ip) || holds(b.host_ip, a.host_ip));
}

}  // namespace weir
