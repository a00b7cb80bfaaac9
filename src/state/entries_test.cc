#include "state/entries.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Entries, AddressesAndPrefixesSurviveTheWayThroughAbi) {
  for (const char* text : {"10.244.0.3", "0.0.0.0", "fd00::3", "::"}) {
    const Address address = *Address::parse(text);
    EXPECT_EQ(from_abi(to_abi(address)), address);
  }
  for (const char* text : {"10.244.0.0/24", "10.0.0.1/32", "0.0.0.0/0", "fd00::/64", "::/0"}) {
    const Cidr cidr = *Cidr::parse(text);
    EXPECT_EQ(from_abi(to_abi(cidr)), cidr) << text;
  }
  EXPECT_EQ(to_abi(*Cidr::parse("10.244.0.0/24")).prefixlen, 120U);
}

TEST(Entries, PrintOneLineEach) {
  Entries entries;
  weir_endpoint endpoint{};
  endpoint.handle = 7;
  endpoint.ifindex = 12;
  endpoint.mac[5] = 1;
  entries.endpoints[*Address::parse("10.244.0.3")] = endpoint;
  weir_route route{};
  route.kind = WEIR_ROUTE_PODS;
  route.node = 0xab;
  route.mtu = 1350;
  route.node_addr = to_abi(*Address::parse("172.30.0.11"));
  entries.routes[*Cidr::parse("10.244.1.0/24")] = route;
  entries.kernel_routes[*Cidr::parse("10.244.1.0/24")] = {NodeRoute::Via::kTunnel,
                                                          *Address::parse("172.30.0.11"), 1350};
  entries.netns[4711].v4 = to_abi(*Address::parse("10.244.0.3"));
  const std::vector<std::string> expected = {
      "weir_endpoint 10.244.0.3 handle=7 ifindex=12 mac=00:00:00:00:00:01 ingress=0 egress=0",
      "weir_route 10.244.1.0/24 kind=pods node_addr=172.30.0.11 node=000000ab mtu=1350",
      "kernel_route 10.244.1.0/24 via=tunnel node=172.30.0.11 mtu=1350",
      "weir_netns 4711 v4=10.244.0.3 v6=none",
  };
  EXPECT_EQ(to_lines(entries), expected);
}

}  // namespace
}  // namespace weir
