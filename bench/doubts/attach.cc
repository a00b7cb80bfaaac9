// Doubt 6: what attaching two programs to a new pod link costs, and deleting the link again, by way
// of attaching. In a network namespace of its own. Usage: attach [ROUNDS]
#include <fcntl.h>
#include <net/if.h>

#include <functional>

#include "doubt.h"

namespace {

constexpr char kExpedited[] = "/sys/kernel/rcu_expedited";
int first, second;

void set_expedited(char value) {
  const int fd = open(kExpedited, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, &value, 1) != 1) doubt::die(kExpedited);
  close(fd);
}

void make_link() {
  if (std::system("ip link add lx0 type veth peer name p0 && ip link set lx0 up && "
                  "ip link set p0 up"))
    doubt::die("ip link add");
}

using Links = std::vector<int>;

void tcx(int index, Links& links) {
  LIBBPF_OPTS(bpf_link_create_opts, opts);
  links.push_back(bpf_link_create(first, index, BPF_TCX_INGRESS, &opts));
  links.push_back(bpf_link_create(second, index, BPF_TCX_EGRESS, &opts));
  if (links[0] < 0 || links[1] < 0) doubt::die("bpf_link_create");
}

void tcx_expedited(int index, Links& links) {
  set_expedited('1');
  tcx(index, links);
  set_expedited('0');
}

void clsact(int index, Links&) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = index;
  hook.attach_point = bpf_tc_attach_point(BPF_TC_INGRESS | BPF_TC_EGRESS);
  if (bpf_tc_hook_create(&hook)) doubt::die("clsact");
  for (const bool in : {true, false}) {
    hook.attach_point = in ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    bpf_tc_opts opts{};
    opts.sz = sizeof opts;
    opts.prog_fd = in ? first : second;
    if (bpf_tc_attach(&hook, &opts)) doubt::die("bpf_tc_attach");
  }
}

enum class Removal { kDelete, kDetachFirst, kExpedited };

struct Way {
  const char* name;
  std::function<void(int, Links&)> attach;
  Removal removal;
  std::vector<double> attach_ms, delete_ms;
};

void once(Way& way) {
  make_link();
  Links links;
  const int index = static_cast<int>(if_nametoindex("lx0"));
  const double start = doubt::now_ns();
  way.attach(index, links);
  way.attach_ms.push_back((doubt::now_ns() - start) / 1e6);
  usleep(20000);
  const double before = doubt::now_ns();
  if (way.removal == Removal::kExpedited) set_expedited('1');
  if (way.removal == Removal::kDetachFirst)
    for (int link : links) bpf_link_detach(link);
  if (std::system("ip link del lx0")) doubt::die("ip link del");
  if (way.removal == Removal::kExpedited) set_expedited('0');
  way.delete_ms.push_back((doubt::now_ns() - before) / 1e6);
  for (int link : links) close(link);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 21;
  if (unshare(CLONE_NEWNET)) doubt::die("unshare");
  libbpf_set_print(doubt::quiet);
  doubt::take_cpu(1);
  bpf_object* object =
      bpf_object__open_file(doubt::object_path(argv[0], "attach").c_str(), nullptr);
  if (!object || bpf_object__load(object)) doubt::die("load attach");
  first = bpf_program__fd(doubt::program(object, "first"));
  second = bpf_program__fd(doubt::program(object, "second"));

  Way ways[] = {
      {"nothing attached", [](int, Links&) {}, Removal::kDelete, {}, {}},
      {"TCX links; detached, then deleted", tcx, Removal::kDetachFirst, {}, {}},
      {"TCX links; deleted", tcx, Removal::kDelete, {}, {}},
      {"TCX links and delete under rcu_expedited", tcx_expedited, Removal::kExpedited, {}, {}},
      {"clsact and cls_bpf; deleted", clsact, Removal::kDelete, {}, {}}};
  std::vector<size_t> order{0, 1, 2, 3, 4};
  std::mt19937 random(1);
  for (int round = 0; round < rounds; round++) {
    std::shuffle(order.begin(), order.end(), random);
    for (size_t i : order) once(ways[i]);
  }
  std::printf("%-42s %10s %20s %12s %20s\n", "ms", "attach", "quartiles", "delete*", "quartiles");
  for (const Way& way : ways) {
    const doubt::Stats a = doubt::stats(way.attach_ms), d = doubt::stats(way.delete_ms);
    std::printf("%-42s %10.3f   %7.3f - %7.3f %12.2f   %7.2f - %7.2f\n", way.name, a.median, a.low,
                a.high, d.median, d.low, d.high);
  }
  std::puts("* with the start of `ip`");
}
