// The least that eBPF does for a packet between a pod and another node: what no data plane can be
// faster than.
//   routing_floor POD_LINK POD_MAC UPLINK NEXT_MAC
// In the caller's namespace, until it is killed; says "ready" when it is.
#include "routing_floor.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "routing_floor.skel.h"

namespace {

int fail(const std::string& what) {
  std::fprintf(stderr, "routing_floor: %s: %s\n", what.c_str(), std::strerror(errno));
  return 1;
}

bool read_mac(const char* text, unsigned char* mac) {
  return std::sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4,
                     mac + 5) == 6;
}

bool own_mac(const char* link, unsigned char* mac) {
  ifreq request{};
  std::strncpy(request.ifr_name, link, IFNAMSIZ - 1);
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool known = ioctl(any, SIOCGIFHWADDR, &request) == 0;
  close(any);
  std::memcpy(mac, request.ifr_hwaddr.sa_data, 6);
  return known;
}

bool fill(way& way, const char* link, const char* to) {
  way.ifindex = if_nametoindex(link);
  return way.ifindex != 0 && own_mac(link, way.from) && read_mac(to, way.to);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: routing_floor POD_LINK POD_MAC UPLINK NEXT_MAC\n", stderr);
    return 2;
  }
  auto* floor = routing_floor_bpf__open();
  if (floor == nullptr) return fail("open");
  if (!fill(floor->rodata->to_pod, argv[1], argv[2])) return fail(argv[1]);
  if (!fill(floor->rodata->to_net, argv[3], argv[4])) return fail(argv[3]);
  const int pod = static_cast<int>(floor->rodata->to_pod.ifindex);
  const int net = static_cast<int>(floor->rodata->to_net.ifindex);
  if (routing_floor_bpf__load(floor)) return fail("load");
  if (bpf_program__attach_tcx(floor->progs.floor_from_pod, pod, nullptr) == nullptr ||
      bpf_program__attach_tcx(floor->progs.floor_from_net, net, nullptr) == nullptr)
    return fail("attach");
  std::puts("ready");
  std::fflush(stdout);
  for (;;) pause();
}
