#include "cli/status_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::cli {
namespace {

using testing::HasSubstr;

TEST(StatusText, TellsWhatANewcomerAsks) {
  api::Status status;
  status.node = "n0";
  status.version = "0.1.0";
  status.build_id = "abc";
  status.kernel = "6.18";
  status.attach = "tcx";
  status.tunnel = "vxlan 8472";
  status.uptime_seconds = 61;
  status.pod_mtu = 1450;
  status.gso_max_size = 65536;
  status.gso_limit = "eth1 takes packets of 65536 bytes";
  status.adopted = true;
  status.devices = {{"eth0", 2, 1500, "uplink", ""}, {"eth1", 3, 1500, "uplink", "native"}};
  status.other_programs = {{"eth0", "ingress", "tcx", "sniffer", "before"}};
  status.pools = {{"10.244.0.0/24", 253, 3, 1}, {"fd00::/64", (1ULL << 63) - 2, 3, 0}};
  status.maps = {{"weir_ct", 12, 65536}};
  status.hooks = {{"from_pod", 10, 1000, 7, 2, {{"SPOOFED", 1, {}}}},
                  {"kernel",
                   9,
                   900,
                   0,
                   0,
                   {{"QDISC_DROP", 8, {{"shop/cart-0", 5}, {"shop/web", 2}}}, {"NEW", 1, {}}}}};
  status.warnings = {"FORWARD has 3 rules that pods no longer meet"};
  const std::string text = status_text(status);
  for (const char* wanted : {
           "node n0\n",
           "0.1.0 up 1 min 1 s, kernel 6.18\n",
           "build abc, attached by tcx, adopted, traffic went on\n",
           "eth0 (uplink, MTU 1500), eth1 (uplink, MTU 1500, XDP: native)\n",
           "vxlan 8472, pods' MTU 1450\n",
           "no: eth1 takes packets of 65536 bytes\n",
           "eth0     ingress    tcx  sniffer  before Weir's\n",
           "10.244.0.0/24  253   3     1        1 %\n",
           "fd00::/64      2^63  3     0        < 1 %\n",
           "weir_ct  12       65 536    < 1 %\n",
           "from_pod    10  7          2         1\n",
           "from_pod    1        SPOOFED     source address does not belong to where",
           "QDISC_DROP  the queue of the link is full: shop/cart-0 5, shop/web 2\n",
           "NEW         dropped by the kernel, not by Weir\n",
           "warning: FORWARD has 3 rules that pods no longer meet\n",
       }) {
    EXPECT_THAT(text, HasSubstr(wanted));
  }
}

TEST(StatusText, TellsHowLargePacketsAre) {
  api::Status status;
  status.gso_max_size = 196608;
  EXPECT_THAT(status_text(status), HasSubstr("packets of up to 196608 bytes\n"));
  status.gso_max_size = 131072;
  status.gso_limit = "eth1 takes packets of 131072 bytes";
  EXPECT_THAT(status_text(status),
              HasSubstr("packets of up to 131072 bytes: eth1 takes packets of 131072 bytes\n"));
}

TEST(StatusText, AnUnusualWayToAttachHasAReason) {
  api::Status status;
  status.attach = "clsact";
  status.attach_reason = "this kernel has no TCX";
  EXPECT_THAT(status_text(status), HasSubstr("attached by clsact (this kernel has no TCX), "));
}

TEST(StatusText, AnEmptyStatusHasNoEmptyTables) {
  const std::string text = status_text({});
  for (const char* heading : {"ALSO ON", "POOL", "TABLE", "PACKETS AT", "DROPPED AT"}) {
    EXPECT_THAT(text, testing::Not(HasSubstr(heading)));
  }
}

TEST(EndpointsText, OneRowEach) {
  api::EndpointInfo cart;
  cart.namespace_ = "shop";
  cart.pod = "cart-0";
  cart.workload = "cart";
  cart.node = "n0";
  cart.addresses = {"10.244.0.5", "fd00::5"};
  cart.interface = "weir7";
  EXPECT_EQ(endpoints_text({cart}),
            "NAMESPACE  POD     WORKLOAD  NODE  ADDRESSES            LINK\n"
            "shop       cart-0  cart      n0    10.244.0.5, fd00::5  weir7\n");
}

}  // namespace
}  // namespace weir::cli
