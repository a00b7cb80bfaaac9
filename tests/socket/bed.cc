#include "bed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ostream>

#include "sys/cgroup.h"
#include "sys/files.h"

namespace weir {
namespace {

constexpr int kPatience_ms = 2000;
constexpr int kOriginalDst = 80;

void need(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(fmt::format("{}: {}", what, std::strerror(errno)));
}

template <typename T>
T need(Result<T> result, const char* what) {
  if (!result) throw std::runtime_error(fmt::format("{}: {}", what, result.error().text()));
  return std::move(*result);
}
void need(Result<void> result, const char* what) {
  if (!result) throw std::runtime_error(fmt::format("{}: {}", what, result.error().text()));
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress to_socket(int family, const Peer& peer) {
  SocketAddress out;
  const auto& bytes = peer.address.bytes();
  if (family == AF_INET) {
    auto* in = reinterpret_cast<sockaddr_in*>(&out.storage);
    *in = {.sin_family = AF_INET, .sin_port = htons(peer.port), .sin_addr = {}, .sin_zero = {}};
    std::memcpy(&in->sin_addr, bytes.data() + 12, 4);
    out.length = sizeof *in;
  } else {
    auto* in = reinterpret_cast<sockaddr_in6*>(&out.storage);
    *in = sockaddr_in6{};
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(peer.port);
    std::memcpy(&in->sin6_addr, bytes.data(), 16);
    out.length = sizeof *in;
  }
  return out;
}

Peer from_socket(const SocketAddress& from) {
  if (from.storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&from.storage);
    return {Address::v4(ntohl(in->sin_addr.s_addr)), ntohs(in->sin_port)};
  }
  const auto* in = reinterpret_cast<const sockaddr_in6*>(&from.storage);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &in->sin6_addr, 16);
  return {Address::from_bytes(bytes), ntohs(in->sin6_port)};
}

int family_of(const Address& address) { return address.is_v4() ? AF_INET : AF_INET6; }

void ip_batch(const std::string& lines) {
  FILE* ip = popen("ip -batch -", "w");
  need(ip != nullptr, "ip");
  std::fputs(lines.c_str(), ip);
  if (pclose(ip) != 0) throw std::runtime_error("ip -batch:\n" + lines);
}

std::string own_cgroup() {
  const std::string text = need(read_file("/proc/self/cgroup"), "/proc/self/cgroup");
  const auto begin = text.find("0::");
  const auto end = text.find('\n', begin);
  return find_cgroup2() + text.substr(begin + 3, end - begin - 3);
}

void enter_cgroup(const std::string& path) {
  need(write_existing_file(path + "/cgroup.procs", "0"), "enter a cgroup");
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Peer& peer) {
  return out << peer.address.to_string() << " port " << peer.port;
}

int Sock::bind(const Peer& peer) {
  const SocketAddress to = to_socket(family_, peer);
  return ::bind(fd_.get(), to.get(), to.length) == 0 ? 0 : errno;
}

int Sock::listen() { return ::listen(fd_.get(), 64) == 0 ? 0 : errno; }

// EINPROGRESS: no answer came.
int Sock::connect(const Peer& peer) {
  const SocketAddress to = to_socket(family_, peer);
  if (::connect(fd_.get(), to.get(), to.length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd wait{fd_.get(), POLLOUT, 0};
  if (poll(&wait, 1, 300) == 0) return EINPROGRESS;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

int Sock::disconnect() {
  const sockaddr none{.sa_family = AF_UNSPEC, .sa_data = {}};
  return ::connect(fd_.get(), &none, sizeof none) == 0 ? 0 : errno;
}

int Sock::send_to(const Peer& peer, const std::string& data) {
  const SocketAddress to = to_socket(family_, peer);
  return sendto(fd_.get(), data.data(), data.size(), 0, to.get(), to.length) >= 0 ? 0 : errno;
}

std::optional<Datagram> Sock::receive() {
  pollfd wait{fd_.get(), POLLIN, 0};
  if (poll(&wait, 1, kPatience_ms) != 1) return std::nullopt;
  char data[256];
  SocketAddress from;
  const ssize_t got = recvfrom(fd_.get(), data, sizeof data, 0, from.get(), &from.length);
  if (got < 0) return std::nullopt;
  return Datagram{std::string(data, static_cast<std::size_t>(got)), from_socket(from)};
}

std::optional<Sock> Sock::accept() {
  pollfd wait{fd_.get(), POLLIN, 0};
  if (poll(&wait, 1, kPatience_ms) != 1) return std::nullopt;
  return Sock(family_, Fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)));
}

int Sock::error() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

Peer Sock::name() const {
  SocketAddress out;
  need(getsockname(fd_.get(), out.get(), &out.length) == 0, "getsockname");
  return from_socket(out);
}

Peer Sock::peer() const {
  SocketAddress out;
  need(getpeername(fd_.get(), out.get(), &out.length) == 0, "getpeername");
  return from_socket(out);
}

std::optional<Peer> Sock::original_dst(Family family) const {
  SocketAddress out;
  const int level = family == Family::kIpv4 ? SOL_IP : SOL_IPV6;
  if (getsockopt(fd_.get(), level, kOriginalDst, out.get(), &out.length) != 0) return std::nullopt;
  return from_socket(out);
}

std::uint64_t Place::cookie() const { return need(netns_.cookie(), "netns cookie"); }

Result<Netns> Place::reopen() const {
  return Netns::open(fmt::format("/proc/self/fd/{}", netns_.fd()));
}

Sock Place::make(int family, int type) const {
  const auto scope = need(NetnsScope::enter(netns_), "enter a namespace");
  Fd fd(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  need(fd.get() >= 0, "socket");
  return {family, std::move(fd)};
}

Sock Place::tcp_listener(const Peer& at) const {
  Sock made = tcp(family_of(at.address));
  need(made.bind(at) == 0 && made.listen() == 0, "listen");
  return made;
}

Sock Place::udp_bound(const Peer& at) const {
  Sock made = udp(family_of(at.address));
  need(made.bind(at) == 0, "bind");
  return made;
}

SocketBed::SocketBed(const BedOptions& options) {
  static int made = 0;
  outside_ = own_cgroup();
  cgroup_ = fmt::format("{}/weir-sockets-{}-{}", find_cgroup2(), getpid(), ++made);
  need(mkdir(cgroup_.c_str(), 0755) == 0, "mkdir " + cgroup_);
  bed_ = std::make_unique<Bed>(options);
  services_ = std::make_unique<TestServices>(*bed_);
  const Cast& v4 = cast_of(Family::kIpv4);
  const Cast& v6 = cast_of(Family::kIpv6);
  node_ = std::make_unique<Place>(need(Netns::current(), "own namespace"), v4.node, v6.node);
  pod_a_ = make_place("lxca", "pxca", v4.pod_a, v6.pod_a);
  pod_b_ = make_place("lxcb", "pxcb", v4.pod_b, v6.pod_b);
  stranger_ = make_place("lxcs", "pxcs", v4.pod_gone, v6.pod_gone);
  for (const Place* place : {node_.get(), pod_a_.get(), pod_b_.get()}) {
    bed_->entries().netns[place->cookie()] = {to_abi(place->address(Family::kIpv4)),
                                              to_abi(place->address(Family::kIpv6))};
  }
  bed_->apply();
  need(bed_->plane().attach_sockets(cgroup_), "attach");
  join_cgroup();
}

SocketBed::~SocketBed() {
  leave_cgroup();
  bed_.reset();
  if (rmdir(cgroup_.c_str()) != 0) ADD_FAILURE() << cgroup_ << ": " << std::strerror(errno);
}

void SocketBed::leave_cgroup() { enter_cgroup(outside_); }
void SocketBed::join_cgroup() { enter_cgroup(cgroup_); }

std::unique_ptr<Place> SocketBed::make_place(const char* link, const char* peer, const Address& v4,
                                             const Address& v6) {
  const Netns home = need(Netns::current(), "own namespace");
  need(unshare(CLONE_NEWNET) == 0, "unshare");
  Netns made = need(Netns::current(), "pod's namespace");
  need(setns(home.fd(), CLONE_NEWNET) == 0, "setns");
  ip_batch(fmt::format(R"(
link set {1} netns /proc/{4}/fd/{5}
address add 169.254.1.1/32 dev {0}
address add fe80::1/64 dev {0} nodad
link set {0} up
route add {2}/32 dev {0}
route add {3}/128 dev {0}
)",
                       link, peer, v4.to_string(), v6.to_string(), getpid(), made.fd()));
  const auto scope = need(NetnsScope::enter(made), "enter the pod's namespace");
  ip_batch(fmt::format(R"(
link set lo up
link set {0} up
address add {1}/32 dev {0}
address add {2}/128 dev {0} nodad
route add default via 169.254.1.1 dev {0} onlink
route add default via fe80::1 dev {0}
)",
                       peer, v4.to_string(), v6.to_string()));
  return std::make_unique<Place>(std::move(made), v4, v6);
}

std::uint64_t SocketBed::translated() {
  return bed_->metric(WEIR_HOOK_SOCKET, WEIR_OUTCOME_FORWARD).packets;
}

std::uint64_t SocketBed::refused() {
  std::uint64_t sum = 0;
  for (std::uint32_t reason = 0; reason <= WEIR_DROP_MAX; ++reason) {
    sum += bed_->drops(WEIR_HOOK_SOCKET, static_cast<weir_drop>(reason));
  }
  return sum;
}

}  // namespace weir
