// nb: a small network benchmark over TCP, where server and client cost as little as they can.
//   nb server --port P [--cpu N] [--fifo] [--cc NAME]
//   nb rr|crr|stream --host A --port P [--seconds S] [--cpu N] [--fifo] [--cc NAME]
// rr: one byte there and back on one connection. crr: connect, one byte there and back, the server
// closes. stream: one way, counted by the receiver. A client prints one line of JSON.
// The server serves one connection after the other; its first byte names the kind.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kStreamBuffer = 256 * 1024;
constexpr int kWarmUps = 200;

struct Options {
  std::string mode, host = "127.0.0.1", cc = "cubic";
  uint16_t port = 0;
  double seconds = 1;
  int cpu = -1;
  bool fifo = false;
};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "nb: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

Options parse(int argc, char** argv) {
  Options o;
  if (argc > 1) o.mode = argv[1];
  for (int i = 2; i < argc; i++) {
    const std::string_view flag = argv[i];
    if (flag == "--fifo") {
      o.fifo = true;
      continue;
    }
    const char* value = i + 1 < argc ? argv[++i] : "";
    if (flag == "--host") o.host = value;
    if (flag == "--port") o.port = static_cast<uint16_t>(std::atoi(value));
    if (flag == "--seconds") o.seconds = std::atof(value);
    if (flag == "--cpu") o.cpu = std::atoi(value);
    if (flag == "--cc") o.cc = value;
  }
  return o;
}

void place(const Options& o) {
  if (o.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(o.cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set)) die("sched_setaffinity");
  }
  if (!o.fifo) return;
  sched_param param{};
  param.sched_priority = 50;
  if (sched_setscheduler(0, SCHED_FIFO, &param)) die("sched_setscheduler");
}

struct Target {
  sockaddr_storage address{};
  socklen_t size = 0;
};

Target target(const Options& o, bool any) {
  Target t;
  const bool v6 = any || o.host.find(':') != std::string::npos;
  if (v6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&t.address);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(o.port);
    if (!any && inet_pton(AF_INET6, o.host.c_str(), &in6->sin6_addr) != 1) die("--host");
    t.size = sizeof *in6;
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&t.address);
    in->sin_family = AF_INET;
    in->sin_port = htons(o.port);
    if (inet_pton(AF_INET, o.host.c_str(), &in->sin_addr) != 1) die("--host");
    t.size = sizeof *in;
  }
  return t;
}

int tcp_socket(const Options& o, int family) {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, o.cc.c_str(),
                 static_cast<socklen_t>(o.cc.size())))
    die("TCP_CONGESTION");
  return fd;
}

// ---- server

void serve(int fd, std::vector<char>& buffer) {
  char kind;
  if (read(fd, &kind, 1) != 1) return;
  if (kind == 'C') {
    if (write(fd, "c", 1) != 1) return;
  } else if (kind == 'R') {
    char byte;
    while (read(fd, &byte, 1) == 1)
      if (write(fd, &byte, 1) != 1) return;
  } else if (kind == 'S') {
    uint64_t total = 0;
    for (ssize_t n; (n = read(fd, buffer.data(), buffer.size())) > 0;)
      total += static_cast<uint64_t>(n);
    if (write(fd, &total, sizeof total) != sizeof total) return;
  }
}

[[noreturn]] void run_server(const Options& o) {
  const int listener = tcp_socket(o, AF_INET6);
  const int one = 1, zero = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  const Target t = target(o, true);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&t.address), t.size)) die("bind");
  if (listen(listener, 128)) die("listen");
  std::puts("ready");
  std::fflush(stdout);
  place(o);
  std::vector<char> buffer(kStreamBuffer);
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      die("accept");
    }
    serve(fd, buffer);
    close(fd);
  }
}

// ---- client

int connect_to(const Options& o, const Target& t) {
  const int fd = tcp_socket(o, t.address.ss_family);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&t.address), t.size)) die("connect");
  return fd;
}

void exchange(int fd, char byte) {
  if (write(fd, &byte, 1) != 1) die("write");
  if (read(fd, &byte, 1) != 1) die("read");
}

struct Times {
  std::vector<uint32_t> each_ns;
  double seconds = 0;
};

template <typename Once>
Times repeat(double seconds, Once once) {
  for (int i = 0; i < kWarmUps; i++) once();
  Times times;
  times.each_ns.reserve(static_cast<size_t>(seconds * 200'000) + 1);
  const int64_t start = now_ns(), end = start + static_cast<int64_t>(seconds * 1e9);
  int64_t before = start;
  while (before < end) {
    once();
    const int64_t after = now_ns();
    times.each_ns.push_back(static_cast<uint32_t>(after - before));
    before = after;
  }
  times.seconds = static_cast<double>(before - start) / 1e9;
  return times;
}

void print(const Options& o, Times times) {
  auto& v = times.each_ns;
  std::sort(v.begin(), v.end());
  const auto at = [&](double q) {
    return static_cast<double>(v[static_cast<size_t>(q * static_cast<double>(v.size() - 1))]) / 1e3;
  };
  std::printf("{\"mode\":\"%s\",\"count\":%zu,\"rate\":%.1f,\"p50_us\":%.3f,\"p99_us\":%.3f}\n",
              o.mode.c_str(), v.size(), static_cast<double>(v.size()) / times.seconds, at(0.5),
              at(0.99));
}

void run_rr(const Options& o) {
  const int fd = connect_to(o, target(o, false));
  if (write(fd, "R", 1) != 1) die("write");
  print(o, repeat(o.seconds, [&] { exchange(fd, 'r'); }));
  close(fd);
}

void run_crr(const Options& o) {
  const Target t = target(o, false);
  print(o, repeat(o.seconds, [&] {
          const int fd = connect_to(o, t);
          exchange(fd, 'C');
          char byte;
          if (read(fd, &byte, 1) != 0) die("end of connection");
          close(fd);
        }));
}

void run_stream(const Options& o) {
  const int fd = connect_to(o, target(o, false));
  if (write(fd, "S", 1) != 1) die("write");
  std::vector<char> buffer(kStreamBuffer, 's');
  const int64_t start = now_ns(), end = start + static_cast<int64_t>(o.seconds * 1e9);
  while (now_ns() < end)
    if (write(fd, buffer.data(), buffer.size()) < 0) die("write");
  shutdown(fd, SHUT_WR);
  uint64_t total = 0;
  if (recv(fd, &total, sizeof total, MSG_WAITALL) != sizeof total) die("read");
  const double seconds = static_cast<double>(now_ns() - start) / 1e9;
  std::printf("{\"mode\":\"stream\",\"bytes\":%llu,\"gbit\":%.3f}\n",
              static_cast<unsigned long long>(total),
              static_cast<double>(total) * 8 / seconds / 1e9);
  close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse(argc, argv);
  if (o.mode == "server") run_server(o);
  place(o);
  if (o.mode == "rr") {
    run_rr(o);
  } else if (o.mode == "crr") {
    run_crr(o);
  } else if (o.mode == "stream") {
    run_stream(o);
  } else {
    std::fputs(
        "usage: nb server|rr|crr|stream --port P [--host A] [--seconds S] [--cpu N] "
        "[--fifo] [--cc NAME]\n",
        stderr);
    return 2;
  }
}
