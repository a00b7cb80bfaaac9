#include "harness/bed.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "harness/network.h"
#include "tunnelled.skel.h"

namespace weir {
namespace {

constexpr std::array kPrograms = {"from_pod", "to_pod", "from_net", "to_net"};
constexpr std::array kHooks = {"from_pod", "to_pod", "from_net", "to_net", "socket", "xdp"};

template <typename T>
T need(Result<T> result, const char* what) {
  if (!result) throw std::runtime_error(fmt::format("{}: {}", what, result.error().text()));
  return std::move(*result);
}
void need(Result<void> result, const char* what) {
  if (!result) throw std::runtime_error(fmt::format("{}: {}", what, result.error().text()));
}

// Mounts of the tests end with the process, however it ends.
void private_mounts() {
  static const bool done = [] {
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }();
  if (!done) throw std::runtime_error("private mount namespace: needs root");
}

std::string mount_bpffs() {
  std::string dir = "/tmp/weir-packet.XXXXXX";
  if (mkdtemp(dir.data()) == nullptr) throw std::runtime_error("mkdtemp");
  if (mount("bpf", dir.c_str(), "bpf", 0, nullptr) != 0) throw std::runtime_error("mount bpffs");
  return dir;
}

weir_route route(weir_route_kind kind, const Address& node = {}, std::uint8_t flags = 0) {
  weir_route out{};
  out.flags = flags;
  out.kind = static_cast<std::uint8_t>(kind);
  if (!node.is_zero()) out.node_addr = to_abi(node);
  return out;
}

}  // namespace

std::optional<weir_drop> Outcome::reason() const {
  const weir_event* dropped = event(WEIR_EVENT_DROP);
  if (dropped == nullptr) return std::nullopt;
  return static_cast<weir_drop>(dropped->reason);
}

const weir_event* Outcome::event(weir_event_type type) const {
  const auto found = std::ranges::find(events, type, &weir_event::type);
  return found == events.end() ? nullptr : &*found;
}

BedOptions small() {
  BedOptions options;
  options.settings.ct_max = 1024;
  options.settings.endpoint_max = 64;
  options.settings.route_max = 64;
  options.settings.events_bytes = 1 << 18;
  return options;
}

void Bed::pod(const Address& address, std::uint32_t handle, std::uint32_t ifindex, const Mac& mac) {
  weir_endpoint& endpoint = entries_.endpoints[address];
  endpoint.id = to_abi(address);
  endpoint.handle = handle;
  endpoint.ifindex = ifindex;
  std::memcpy(endpoint.mac, mac.data(), mac.size());
}

void Bed::fill_entries() {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const Cast& cast = cast_of(family);
    const int full = cast.v4() ? 32 : 128;
    pod(cast.pod_a, 1, kLinkA, kMacA);
    pod(cast.pod_b, 2, kLinkB, kMacB);
    entries_.routes[cast.pods] = route(WEIR_ROUTE_LOCAL_PODS);
    entries_.routes[cast.services] = route(WEIR_ROUTE_SERVICES);
    entries_.routes[cast.pods_r] = route(WEIR_ROUTE_PODS, cast.node_r);
    for (const Address& kept : {cast.behind_narrow_link, cast.behind_narrow_route})
      entries_.routes[Cidr(kept, full)] = route(WEIR_ROUTE_OUTSIDE, {}, WEIR_ROUTE_KEEP_SOURCE);
    entries_.routes[Cidr(cast.node, full)] = route(WEIR_ROUTE_HOST);
    entries_.routes[Cidr(cast.node_r, full)] = route(WEIR_ROUTE_NODE, cast.node_r);
  }
}

void Bed::restart(const Settings& settings) {
  plane_.reset();
  maps_.clear();  // others may be pinned now
  settings_ = settings;
  plane_ = need(Dataplane::open(dir_, settings_), "adopt the data plane");
  open_programs();
}

void Bed::replace_map(const std::string& name, int type, std::uint32_t key_size,
                      std::uint32_t value_size, std::uint32_t entries) {
  const std::string path = dir_ + "/maps/" + name;
  const Fd map(bpf_map_create(static_cast<bpf_map_type>(type), name.c_str(), key_size, value_size,
                              entries, nullptr));
  maps_.erase(name);
  if (!map || unlink(path.c_str()) != 0 || bpf_obj_pin(map.get(), path.c_str()) != 0)
    throw std::runtime_error("replace " + name);
}

void Bed::open_programs() {
  for (std::size_t i = 0; i < programs_.size(); ++i) {
    programs_.at(i) = pinned_program(kPrograms.at(i));
    if (!programs_.at(i)) throw std::runtime_error("open a program");
  }
  injected_ = -1;  // other programs can have the same numbers
}

Bed::Bed(const BedOptions& options) {
  private_mounts();
  need(enter_test_network(), "test network");
  settings_ = options.settings;
  dir_ = mount_bpffs();
  plane_ = need(Dataplane::open(dir_, options.settings), "open the data plane");
  fill_entries();
  need(plane_->apply(entries_), "apply");
  weir_device uplink{}, tunnel{};
  if (options.uplink_has_addresses) {
    uplink.v4 = to_abi(cast_of(Family::kIpv4).node);
    uplink.v6 = to_abi(cast_of(Family::kIpv6).node);
  }
  tunnel.v4 = uplink.v4;
  tunnel.v6 = uplink.v6;
  uplink.mtu = options.uplink_mtu;
  tunnel.mtu = options.uplink_mtu - 50;
  need(plane_->set_devices({{kUplink, uplink}, {kTunnel, tunnel}},
                           options.settings.tunnel ? kTunnel : 0),
       "set devices");
  tunnelled_bpf* injector = tunnelled_bpf__open();
  if (injector != nullptr && settings_.clsact != 0)  // it calls what is of no attach type
    bpf_program__set_expected_attach_type(injector->progs.tunnelled,
                                          static_cast<bpf_attach_type>(0));
  if (injector == nullptr || tunnelled_bpf__load(injector) != 0)
    throw std::runtime_error("load tunnelled");
  inject_ = Fd(dup(bpf_program__fd(injector->progs.tunnelled)));
  inject_source_ = Fd(dup(bpf_map__fd(injector->maps.outer_source)));
  inject_vni_ = Fd(dup(bpf_map__fd(injector->maps.vni)));
  inject_target_ = Fd(dup(bpf_map__fd(injector->maps.under_test)));
  tunnelled_bpf__destroy(injector);
  open_programs();
  ring_ = need(plane_->read_events([this](std::span<const std::byte> record) {
    weir_event event{};
    std::memcpy(&event, record.data(), std::min(record.size(), sizeof event));
    events_.push_back(event);
  }),
               "read events");
}

Bed::~Bed() {
  ring_.reset();
  plane_.reset();
  maps_.clear();
  if (dir_.empty()) return;
  umount2(dir_.c_str(), MNT_DETACH);
  rmdir(dir_.c_str());
}

void Bed::apply() { need(plane_->apply(entries_), "apply"); }

int Bed::behind_tunnel(const Address& node, std::uint32_t vni, int program) const {
  const std::uint32_t zero = 0;
  const weir_addr source = to_abi(node);
  bpf_map_update_elem(inject_source_.get(), &zero, &source, BPF_ANY);
  bpf_map_update_elem(inject_vni_.get(), &zero, &vni, BPF_ANY);
  // The kernel writes the jump into the program: much dearer than a run.
  if (std::exchange(injected_, program) != program &&
      bpf_map_update_elem(inject_target_.get(), &zero, &program, BPF_ANY) != 0)
    throw std::runtime_error("put a program behind tunnelled");
  return inject_.get();
}

int Bed::enter(const Arrival& arrival) const {
  if (!arrival.outer_source) return program(arrival.hook);
  return behind_tunnel(*arrival.outer_source, arrival.vni, program(arrival.hook));
}

Outcome Bed::run(const Arrival& arrival, const Bytes& frame) {
  drain();
  Outcome outcome;
  outcome.frame.resize(frame.size() + 256);
  __sk_buff in{}, out{};
  in.ifindex = arrival.ifindex;
  in.mark = arrival.mark;
  in.gso_size = arrival.gso_size;
  in.gso_segs = arrival.gso_segs;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = outcome.frame.data(),
              .data_size_in = static_cast<__u32>(frame.size()),
              .data_size_out = static_cast<__u32>(outcome.frame.size()), .ctx_in = &in,
              .ctx_out = &out, .ctx_size_in = sizeof in, .ctx_size_out = sizeof out, .repeat = 1);
  const int fd = enter(arrival);
  if (const int err = bpf_prog_test_run_opts(fd, &options); err != 0) {
    ADD_FAILURE() << "test run of " << frame.size() << " bytes: " << std::strerror(-err);
    return outcome;
  }
  outcome.verdict = static_cast<int>(options.retval);
  outcome.mark = out.mark;
  outcome.frame.resize(options.data_size_out);
  outcome.events = drain();
  return outcome;
}

namespace {

int run_bare(int program, __sk_buff& context, const Bytes& in, Bytes& out) {
  out.resize(in.size() + 128);  // an answer may be longer
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.data(), .data_out = out.data(),
              .data_size_in = static_cast<__u32>(in.size()),
              .data_size_out = static_cast<__u32>(out.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = 1);
  if (const int err = bpf_prog_test_run_opts(program, &options); err != 0) return err - 1000;
  out.resize(options.data_size_out);
  return static_cast<int>(options.retval);
}

}  // namespace

int Bed::run_fast(const Arrival& arrival, const Bytes& in, Bytes& out) const {
  __sk_buff context{};
  context.ifindex = arrival.ifindex;
  context.mark = arrival.mark;
  context.gso_size = arrival.gso_size;
  context.gso_segs = arrival.gso_segs;
  return run_bare(enter(arrival), context, in, out);
}

int Bed::run_fast(int program, std::uint32_t ifindex, const Bytes& in, Bytes& out) const {
  __sk_buff context{};
  context.ifindex = ifindex;
  return run_bare(program, context, in, out);
}

XdpOutcome Bed::run_xdp(int program, const Bytes& frame) const {
  XdpOutcome out{};
  out.frame.resize(frame.size() + 256);  // it may wrap it
  xdp_md context{};
  context.data_end = static_cast<__u32>(frame.size());
  context.ingress_ifindex = kUplink;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.frame.data(),
              .data_size_in = static_cast<__u32>(frame.size()),
              .data_size_out = static_cast<__u32>(out.frame.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = 1);
  EXPECT_EQ(bpf_prog_test_run_opts(program, &options), 0) << std::strerror(errno);
  out.verdict = static_cast<int>(options.retval);
  out.frame.resize(options.data_size_out);
  return out;
}

int Bed::pinned_map(const std::string& name) const {
  Fd& fd = maps_[name];
  if (!fd) fd = Fd(bpf_obj_get((dir_ + "/maps/" + name).c_str()));
  return fd.get();
}

Fd Bed::pinned_program(const std::string& name) const {
  return Fd(bpf_obj_get(fmt::format("{}/progs-{}/{}", dir_, plane_->build(), name).c_str()));
}

std::vector<weir_event> Bed::drain() {
  ring_->drain();
  return std::exchange(events_, {});
}

std::vector<weir_event> Bed::sweep(const weir_sweep& limits) {
  std::vector<weir_event> ended;
  need(plane_->sweep(limits,
                     [&](std::span<const std::byte> record) {
                       weir_event event{};
                       std::memcpy(&event, record.data(), sizeof event);
                       ended.push_back(event);
                     }),
       "sweep");
  return ended;
}

weir_metric Bed::metric(weir_hook hook, std::uint32_t outcome) {
  return plane_->metrics().at(WEIR_METRIC_INDEX(hook, outcome));
}

weir_ct_key key_of(const Address& a, std::uint16_t a_port, const Address& b, std::uint16_t b_port,
                   int proto, bool* a_is_high) {
  const bool high = std::pair(a.bytes(), a_port) > std::pair(b.bytes(), b_port);
  if (a_is_high != nullptr) *a_is_high = high;
  weir_ct_key key{};
  key.addr[0] = to_abi(high ? b : a);
  key.addr[1] = to_abi(high ? a : b);
  key.port[0] = htons(high ? b_port : a_port);
  key.port[1] = htons(high ? a_port : b_port);
  key.proto = static_cast<std::uint8_t>(proto);
  return key;
}

std::optional<weir_ct> Bed::connection(const Address& a, std::uint16_t a_port, const Address& b,
                                       std::uint16_t b_port, int proto) const {
  const weir_ct_key key = key_of(a, a_port, b, b_port, proto);
  weir_ct ct{};
  if (bpf_map_lookup_elem(pinned_map("weir_ct"), &key, &ct) != 0) return std::nullopt;
  return ct;
}

testing::AssertionResult Bed::adds_up() {
  const auto metrics = plane_->metrics();
  for (std::uint32_t hook = 0; hook < WEIR_HOOKS; ++hook) {
    const weir_metric in = metrics.at(WEIR_METRIC_INDEX(hook, WEIR_OUTCOME_IN));
    weir_metric out{};
    for (std::uint32_t outcome = WEIR_OUTCOME_FORWARD; outcome < WEIR_OUTCOMES; ++outcome) {
      out.packets += metrics.at(WEIR_METRIC_INDEX(hook, outcome)).packets;
      out.bytes += metrics.at(WEIR_METRIC_INDEX(hook, outcome)).bytes;
    }
    if (in.packets != out.packets || in.bytes != out.bytes) {
      return testing::AssertionFailure()
             << kHooks.at(hook) << ": in " << in.packets << " packets, " << in.bytes
             << " bytes; out " << out.packets << " packets, " << out.bytes << " bytes";
    }
  }
  return testing::AssertionSuccess();
}

void PacketTest::start(const BedOptions& options) {
  bed_.reset();
  bed_ = std::make_unique<Bed>(options);
}

void PacketTest::TearDown() {
  if (!bed_) return;
  EXPECT_TRUE(bed_->adds_up());
}

}  // namespace weir
