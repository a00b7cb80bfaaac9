// Doubt 4: what BIG TCP (192k GSO on the pods' links) gains and costs by way out: a pod of the same
// node (redirect_peer), VXLAN, a plain link. Each case is a set of namespaces of its own, wb-t*.
// Usage: big_tcp [ROUNDS]. Needs `nb` beside it.
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "doubt.h"

namespace {

constexpr unsigned kBig = 196608, kPlain = 65536;
// One address for all Ethernet ends: nothing needs rewriting here.
const char kMac[] = "02:00:00:00:00:01";

constexpr unsigned short kGsoIpv4MaxSize = 63,
                         kGroIpv4MaxSize = 64;  // newer than Debian's if_link.h

enum Way { kRaw, kPeer, kTunnel, kLink };
struct Case {
  const char* name;
  Way way;
  unsigned pod_gso, link_gso;
};
const Case kCases[] = {
    {"raw veth pair, 64k", kRaw, kPlain, kPlain},
    {"pod to pod, redirect_peer, 64k", kPeer, kPlain, kPlain},
    {"pod to pod, redirect_peer, 192k", kPeer, kBig, kPlain},
    {"VXLAN, 64k", kTunnel, kPlain, kPlain},
    {"VXLAN, pods 192k", kTunnel, kBig, kPlain},
    {"VXLAN, pods and underlay 192k", kTunnel, kBig, kBig},
    {"plain link, 64k", kLink, kPlain, kPlain},
    {"plain link, pods 192k", kLink, kBig, kPlain},
    {"plain link, pods and link 192k", kLink, kBig, kBig},
};
constexpr int kCount = std::size(kCases);
std::vector<pid_t> children;

void sh(const std::string& command) {
  if (std::system(command.c_str())) doubt::die(command);
}

std::string name(int i, char part) { return "wb-t" + std::to_string(i) + part; }

void clean() {
  for (pid_t child : children) kill(child, SIGKILL);
  for (int i = 0; i < kCount; i++)
    for (char part : {'a', 'b', 'x', 'y'}) {
      const std::string quietly =
          "test ! -e /run/netns/" + name(i, part) + " || ip netns del " + name(i, part);
      if (std::system(quietly.c_str())) std::fprintf(stderr, "left: %s\n", name(i, part).c_str());
    }
}

void interrupted(int) {
  clean();
  _exit(130);
}

void enter(const std::string& ns) {
  const int fd = open(("/run/netns/" + ns).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET)) doubt::die("enter " + ns);
  close(fd);
}

// Debian's `ip` cannot set the IPv4 limits.
void set_gso(const char* link, unsigned bytes) {
  struct {
    nlmsghdr head;
    ifinfomsg info;
    struct {
      rtattr head;
      unsigned value;
    } attrs[4];
  } request{};
  request.head = {sizeof request, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0};
  request.info.ifi_index = static_cast<int>(if_nametoindex(link));
  const unsigned short types[] = {IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, kGsoIpv4MaxSize,
                                  kGroIpv4MaxSize};
  for (int i = 0; i < 4; i++) request.attrs[i] = {{8, types[i]}, bytes};
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  char answer[4096];
  if (send(fd, &request, sizeof request, 0) < 0 || recv(fd, answer, sizeof answer, 0) < 0)
    doubt::die("netlink");
  const int error = reinterpret_cast<nlmsgerr*>(answer + sizeof(nlmsghdr))->error;
  errno = -error;
  if (error) doubt::die(std::string("gso of ") + link);
  close(fd);
}

// In the namespace of the caller: `program` on what comes in by `link`.
void attach(const char* argv0, const char* link, const char* program, const char* to,
            unsigned remote) {
  bpf_object* object = bpf_object__open_file(doubt::object_path(argv0, "big_tcp").c_str(), nullptr);
  const unsigned cfg[] = {if_nametoindex(to), remote};
  bpf_map__set_initial_value(bpf_object__find_map_by_name(object, ".rodata"), cfg, sizeof cfg);
  if (bpf_object__load(object)) doubt::die("load big_tcp");
  LIBBPF_OPTS(bpf_link_create_opts, opts);
  // the link is held until this process ends
  if (bpf_link_create(bpf_program__fd(doubt::program(object, program)),
                      static_cast<int>(if_nametoindex(link)), BPF_TCX_INGRESS, &opts) < 0)
    doubt::die(std::string("attach to ") + link);
}

void address_pod(const std::string& ns, int number, unsigned gso) {
  const std::string in = "ip -n " + ns + " ";
  const std::string other = std::to_string(3 - number), self = std::to_string(number);
  sh(in + "link set eth0 up");
  sh(in + "addr add 10.9.0." + self + "/24 dev eth0");
  sh(in + "addr add fd09::" + self + "/64 dev eth0 nodad");
  sh(in + "neigh add 10.9.0." + other + " lladdr " + kMac + " dev eth0");
  sh(in + "neigh add fd09::" + other + " lladdr " + kMac + " dev eth0");
  enter(ns);
  set_gso("eth0", gso);
}

// One end in `ns`, called `host`; the other is eth0 of the new namespace `pod`.
void add_veth(const std::string& ns, const std::string& host, const std::string& pod) {
  sh("ip netns add " + pod);
  sh("ip -n " + ns + " link add " + host + " address " + kMac +
     " mtu 1450 type veth peer name eth0 address " + kMac + " mtu 1450 netns " + pod);
}

void make_pod(int i, char node, char pod, int number, unsigned gso) {
  const std::string host = std::string("lx") + pod;
  add_veth(name(i, node), host, name(i, pod));
  sh("ip -n " + name(i, node) + " link set " + host + " up");
  address_pod(name(i, pod), number, gso);
  enter(name(i, node));
  set_gso(host.c_str(), gso);
}

void make_raw(int i, unsigned gso) {
  sh("ip netns add " + name(i, 'x'));
  add_veth(name(i, 'x'), "eth0", name(i, 'y'));
  address_pod(name(i, 'x'), 1, gso);
  address_pod(name(i, 'y'), 2, gso);
}

void join_nodes(int i, const Case& c) {
  const std::string a = name(i, 'a'), b = name(i, 'b');
  sh("ip -n " + a + " link add up0 address " + kMac + " type veth peer name up0 address " + kMac +
     " netns " + b);
  for (int n : {1, 2}) {
    const std::string ns = n == 1 ? a : b, in = "ip -n " + ns + " ";
    sh(in + "addr add 172.29.0." + std::to_string(n) + "/24 dev up0");
    sh(in + "link set up0 up");
    sh(in + "neigh add 172.29.0." + std::to_string(3 - n) + " lladdr " + kMac + " dev up0");
    sh(in + "link add vx0 type vxlan external dstport 8472");
    sh(in + "link set vx0 up");
    enter(ns);
    set_gso("up0", c.link_gso);
  }
}

void make(const char* argv0, int i) {
  const Case& c = kCases[i];
  if (c.way == kRaw) return make_raw(i, c.pod_gso);
  const char nodes[2] = {'a', c.way == kPeer ? 'a' : 'b'};
  sh("ip netns add " + name(i, 'a'));
  if (c.way != kPeer) {
    sh("ip netns add " + name(i, 'b'));
    join_nodes(i, c);
  }
  make_pod(i, nodes[0], 'x', 1, c.pod_gso);
  make_pod(i, nodes[1], 'y', 2, c.pod_gso);
  if (c.way == kPeer) {
    enter(name(i, 'a'));
    attach(argv0, "lxx", "to_peer", "lxy", 0);
    attach(argv0, "lxy", "to_peer", "lxx", 0);
    return;
  }
  const char* way_in = c.way == kTunnel ? "vx0" : "up0";
  const char* way_out = c.way == kTunnel ? "to_tunnel" : "to_link";
  for (unsigned n : {0u, 1u}) {
    enter(name(i, nodes[n]));
    const char* host = n ? "lxy" : "lxx";
    attach(argv0, host, way_out, way_in, 0xac1d0000 | (2 - n));
    attach(argv0, way_in, "to_peer", host, 0);
  }
}

void serve(const std::string& nb, int i) {
  const pid_t child = fork();
  if (child == 0) {
    enter(name(i, 'y'));
    if (!freopen("/dev/null", "w", stdout)) _exit(1);
    execl(nb.c_str(), "nb", "server", "--port", "7000", "--cpu", "1", "--fifo", nullptr);
    _exit(127);
  }
  children.push_back(child);
}

double stream(const std::string& nb, int i, const char* host) {
  const std::string command = "ip netns exec " + name(i, 'x') + " " + nb +
                              " stream --port 7000 --seconds 0.3 --cpu 1 --fifo --host " + host;
  FILE* pipe = popen(command.c_str(), "r");
  char line[256] = "";
  if (!pipe || !fgets(line, sizeof line, pipe)) doubt::die(command);
  pclose(pipe);
  const char* at = std::strstr(line, "\"gbit\":");
  return at ? std::atof(at + 7) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  const std::string path = argv[0], nb = path.substr(0, path.rfind('/') + 1) + "nb";
  libbpf_set_print(doubt::quiet);
  for (int sig : {SIGINT, SIGTERM, SIGHUP}) signal(sig, interrupted);
  std::atexit(clean);
  for (int i = 0; i < kCount; i++) make(argv[0], i), serve(nb, i);
  usleep(300000);  // IPv6 link-local addresses and the servers settle

  std::vector<double> samples[kCount][2];
  std::vector<int> order(kCount);
  for (int i = 0; i < kCount; i++) order[static_cast<size_t>(i)] = i;
  std::mt19937 random(1);
  for (int round = 0; round < rounds; round++) {
    std::shuffle(order.begin(), order.end(), random);
    for (int i : order) {
      samples[i][0].push_back(stream(nb, i, "10.9.0.2"));
      samples[i][1].push_back(stream(nb, i, "fd09::2"));
    }
  }
  std::printf("%-34s %12s %18s %12s %18s\n", "Gbit/s, one core, cubic", "IPv4", "quartiles", "IPv6",
              "quartiles");
  for (int i = 0; i < kCount; i++) {
    const doubt::Stats v4 = doubt::stats(samples[i][0]), v6 = doubt::stats(samples[i][1]);
    std::printf("%-34s %12.1f     %5.1f - %5.1f %12.1f     %5.1f - %5.1f\n", kCases[i].name,
                v4.median, v4.low, v4.high, v6.median, v6.low, v6.high);
  }
}
