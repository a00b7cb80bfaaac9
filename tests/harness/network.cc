#include "harness/network.h"

#include <sched.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>

#include "sys/netns.h"

namespace weir {
namespace {

constexpr const char* kLinks = R"(
link set lo up
link add lxca index 101 type veth peer name pxca index 201
link add lxcb index 102 type veth peer name pxcb index 202
link add lxcs index 103 type veth peer name pxcs index 203
link add up0 index 104 address 02:00:00:00:00:ee type veth peer name up1 index 204
link add tun0 index 105 type vxlan external dstport 8472
link set lxca up
link set pxca up
link set lxcb up
link set pxcb up
link set lxcs up
link set pxcs up
link set up0 up
link set up1 up
link set tun0 up
address add 172.30.0.1/24 dev up0
address add fd00:30::1/64 dev up0 nodad
route add default via 172.30.0.254 dev up0
route add default via fd00:30::fe dev up0
neigh add 172.30.0.254 lladdr 02:00:00:00:00:fe dev up0
neigh add 172.30.0.2 lladdr 02:00:00:00:00:f2 dev up0
neigh add fd00:30::fe lladdr 02:00:00:00:00:fe dev up0
neigh add fd00:30::2 lladdr 02:00:00:00:00:f2 dev up0
link add nar0 index 106 type veth peer name nar1 index 206
link add wid0 index 107 type veth peer name wid1 index 207
link set nar0 mtu 1400 up
link set nar1 up
link set wid0 up
link set wid1 up
route add 198.18.1.0/24 dev nar0
route add 2001:db8:18:1::/64 dev nar0
route add 198.18.2.0/24 dev wid0 mtu lock 1400
route add 2001:db8:18:2::/64 dev wid0 mtu lock 1400
route add unreachable 192.0.2.0/24
route add unreachable 2001:db8:dead::/48
)";

Result<void> ip_batch(const char* lines) {
  FILE* ip = popen("ip -batch -", "w");
  if (ip == nullptr) return errno_error(errno, "ip");
  std::fputs(lines, ip);
  const int status = pclose(ip);
  if (status != 0) return Error(Code::kKernel, "ip -batch failed");
  return {};
}

}  // namespace

Result<void> enter_test_network() {
  if (unshare(CLONE_NEWNET) != 0) return errno_error(errno, "unshare");
  WEIR_TRY(write_sysctl("net/ipv4/ip_forward", "1"));
  WEIR_TRY(write_sysctl("net/ipv6/conf/all/forwarding", "1"));
  return ip_batch(kLinks);
}

}  // namespace weir
