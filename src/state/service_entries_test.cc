#include "state/service_entries.h"

#include <gtest/gtest.h>

#include "abi/service.h"

namespace weir {
namespace {

Address addr(const char* text) { return *Address::parse(text); }

TEST(ServiceEntries, PrintOneLineForThePortAndOnePerFrontendAndBackend) {
  ServiceChanges changes;
  ServicePortEntries& http = changes[{{"shop", "cart"}, "http", Protocol::kTcp, Family::kIpv4}];
  http.frontends = {{addr("10.96.0.7"), 80, WEIR_SCOPE_ANY, 0, false},
                    {addr("0.0.0.0"), 30080, WEIR_SCOPE_CLUSTER,
                     WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_LOCAL | 1U << 20, true}};
  http.cluster = {{addr("10.244.0.3"), 8080, true, 1}, {addr("10.244.1.3"), 8080, false, 7}};
  http.local = {{addr("10.244.0.3"), 8080, true, 1}};
  http.affinity_seconds = 42;
  http.source_ranges = {*Cidr::parse("10.0.0.0/8"), *Cidr::parse("192.0.2.0/24")};
  ServicePortEntries& dns = changes[{{"shop", "dns"}, "", Protocol::kUdp, Family::kIpv6}];
  dns.frontends = {{addr("fd00:96::7"), 53, WEIR_SCOPE_ANY, 0, false}};
  changes[{{"shop", "gone"}, "", Protocol::kSctp, Family::kIpv4}];
  const std::vector<std::string> expected = {
      "shop/cart:http/TCP/IPv4 cluster=2 local=1 affinity=42s "
      "source-ranges=10.0.0.0/8,192.0.2.0/24",
      "shop/cart:http/TCP/IPv4 frontend=10.96.0.7:80 scope=any set=cluster flags=none",
      "shop/cart:http/TCP/IPv4 frontend=0.0.0.0:30080 scope=cluster set=local "
      "flags=external+local+0x100000",
      "shop/cart:http/TCP/IPv4 backend=10.244.0.3:8080 sets=cluster+local node=this weight=1",
      "shop/cart:http/TCP/IPv4 backend=10.244.1.3:8080 sets=cluster node=other weight=7",
      "shop/dns:/UDP/IPv6 cluster=0 local=0 affinity=0s source-ranges=any",
      "shop/dns:/UDP/IPv6 frontend=[fd00:96::7]:53 scope=any set=cluster flags=none",
      "shop/gone:/SCTP/IPv4 gone",
  };
  EXPECT_EQ(to_lines(changes), expected);
}

}  // namespace
}  // namespace weir
