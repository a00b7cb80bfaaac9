// Skeleton and settings -> pinned programs and maps.
#include "dataplane/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "abi/kernel_drop.h"
#include "base/hash.h"
#include "dataplane/kernel_drops.h"
#include "weir.skel.h"

namespace weir {

constexpr std::array<SocketProgram, kSocketProgramCount> kSocketPrograms = {{
    {"sock_recvmsg4", BPF_CGROUP_UDP4_RECVMSG},
    {"sock_recvmsg6", BPF_CGROUP_UDP6_RECVMSG},
    {"sock_peer4", BPF_CGROUP_INET4_GETPEERNAME},
    {"sock_peer6", BPF_CGROUP_INET6_GETPEERNAME},
    {"sock_getopt", BPF_CGROUP_GETSOCKOPT},
    {"sock_bind4", BPF_CGROUP_INET4_BIND},
    {"sock_bind6", BPF_CGROUP_INET6_BIND},
    {"sock_connect4", BPF_CGROUP_INET4_CONNECT},
    {"sock_connect6", BPF_CGROUP_INET6_CONNECT},
    {"sock_sendmsg4", BPF_CGROUP_UDP4_SENDMSG},
    {"sock_sendmsg6", BPF_CGROUP_UDP6_SENDMSG},
}};

namespace {

constexpr std::array kPrograms = {"from_pod", "to_pod", "from_net", "to_net", "sweep"};
constexpr std::array kSocketIterators = {"sock_find", "sock_end"};
constexpr const char* kXdp = "xdp";
constexpr const char* kKernelDrop = "kernel_drop";
// bpf/heir.bpf.c: while connections of an earlier build are taken over.
constexpr std::array kHeirs = {"heir_in", "heir_out", "ct_merge"};
constexpr std::array kStageTables = {"weir_stages_in", "weir_stages_out"};
// Private to a build: their content is code, or scratch of one run of a program.
constexpr std::array kUnshared = {"weir_stages_in", "weir_stages_out", "weir_packet",
                                  "weir_capture_b", "weir_next_hop",   "weir_before_0",
                                  "weir_before_1"};

// abi/settings.def: what is there only while a setting is on.
struct Need {
  std::string_view name;
  bool (*met)(const weir_settings&);
};
constexpr Need kNeeds[] = {
#define WEIR_NEEDS(name, setting) {#name, [](const weir_settings& s) { return s.setting != 0; }},
#include "abi/settings.def"
};

bool is_needed(std::string_view name, const weir_settings& settings) {
  return std::ranges::all_of(
      kNeeds, [&](const Need& need) { return need.name != name || need.met(settings); });
}

struct Destroy {
  void operator()(weir_bpf* skeleton) const { weir_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<weir_bpf, Destroy>;

// The last complaints of libbpf, for the Error of who called it.
std::string& complaints() {
  static thread_local std::string text;
  return text;
}

int keep_complaint(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG) return 0;
  std::array<char, 2048> line{};
  std::vsnprintf(line.data(), line.size(), format, args);
  std::string& text = complaints();
  text += line.data();
  if (text.size() > 8192) text.erase(0, text.size() - 8192);
  return 0;
}

// Jiffies per second: the coarse clock ticks with them.
std::uint64_t kernel_hz() {
  timespec tick{};
  clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
  return tick.tv_nsec > 0 ? 1'000'000'000ULL / static_cast<std::uint64_t>(tick.tv_nsec) : 250;
}

std::string build_id(const weir_settings& settings) {
  std::size_t size = 0;
  const void* elf = weir_bpf__elf_bytes(&size);
  std::uint64_t hash = fnv1a({static_cast<const char*>(elf), size});
  hash = fnv1a({reinterpret_cast<const char*>(&settings), sizeof settings}, hash);
  return fmt::format("{:016x}", hash);
}

bool is_unshared(std::string_view map) {
  for (const char* name : kUnshared) {
    if (map == name) return true;
  }
  return map.starts_with("weir_bpf.") || map.find(".rodata") != std::string_view::npos ||
         map.find(".bss") != std::string_view::npos;
}

Result<void> prepare_map(const bpf_object* object, bpf_map* map, const PinPaths& paths,
                         const Settings& settings, Migration& migration) {
  const std::string name = bpf_map__name(map);
  if (const auto capacity = capacity_of(name, settings).value_or(0); capacity != 0) {
    bpf_map__set_max_entries(map, capacity);
  }
  const std::string path = paths.maps() + "/" + name;
  if (!is_needed(name, settings.to_abi())) {
    bpf_map__set_autocreate(map, false);
    unlink(path.c_str());
    return {};
  }
  if (is_unshared(name)) return {};
  auto pinned = open_pin(path);
  if (!pinned) return {};
  WEIR_ASSIGN(ShapedTable table, ShapedTable::open(std::move(*pinned)));
  if (!table.fits(TableShape::of(object, map))) {
    migration.add(name, std::move(table));
    return {};
  }
  if (bpf_map__reuse_fd(map, table.fd()) != 0) return errno_error(errno, "reuse " + path);
  return {};
}

// As an earlier build: what is attached of it goes on by its stage tables.
void set_aside(const std::string& dir) {
  if (access(dir.c_str(), F_OK) != 0) return;
  std::string aside = dir + "-before";
  while (access(aside.c_str(), F_OK) == 0) aside += "-before";
  if (std::rename(dir.c_str(), aside.c_str()) != 0) remove_pin_dir(dir);
}

Result<void> pin_maps(weir_bpf& skeleton, const PinPaths& paths) {
  WEIR_TRY(make_pin_dir(paths.maps()));
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton.obj) {
    const std::string name = bpf_map__name(map);
    const std::string path = paths.maps() + "/" + name;
    if (is_unshared(name) || !bpf_map__autocreate(map) || access(path.c_str(), F_OK) == 0) continue;
    WEIR_TRY(pin(bpf_map__fd(map), path));
  }
  return {};
}

Result<void> pin_stages(weir_bpf& skeleton, const std::string& dir) {
  set_aside(dir);
  WEIR_TRY(make_pin_dir(dir));
  for (const char* table : kStageTables) {
    WEIR_TRY(
        pin(bpf_map__fd(bpf_object__find_map_by_name(skeleton.obj, table)), dir + "/" + table));
  }
  return {};
}

Result<void> pin_programs(weir_bpf& skeleton, const std::string& dir) {
  const auto pin_program = [&](const char* name) -> Result<void> {
    const bpf_program* program = bpf_object__find_program_by_name(skeleton.obj, name);
    if (!bpf_program__autoload(program)) return {};
    return pin(bpf_program__fd(program), dir + "/" + name);
  };
  for (const char* name : kPrograms) WEIR_TRY(pin_program(name));
  for (const SocketProgram& program : kSocketPrograms) WEIR_TRY(pin_program(program.name));
  for (const char* name : kSocketIterators) WEIR_TRY(pin_program(name));
  WEIR_TRY(pin_program(kKernelDrop));
  return pin_program(kXdp);
}

// Whenever this agent dies, what runs goes on, and the next agent finds either this build complete
// or what is left to do: programs are pinned last, and no build's beside tables that they do not
// use.
Result<void> pin_and_take_over(weir_bpf& skeleton, const PinPaths& paths, const std::string& build,
                               Migration& migration, Remarks& remarks) {
  WEIR_TRY(migration.copy(skeleton.obj, remarks));
  WEIR_TRY(pin_maps(skeleton, paths));
  WEIR_TRY(migration.pin(paths));
  const std::string dir = paths.programs(build);
  WEIR_TRY(pin_stages(skeleton, dir));
  if (auto taken = migration.take_over(skeleton.obj, paths, build); !taken) {
    remarks.warnings.push_back("connections that began in this moment may end: " +
                               taken.error().text());
  }
  return pin_programs(skeleton, dir);
}

// What the programs find in the section of that name.
template <typename Value>
Result<void> freeze(const weir_bpf& skeleton, std::string_view section, const Value& value) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton.obj) {
    if (std::string_view(bpf_map__name(map)).find(section) == std::string_view::npos) continue;
    std::size_t size = 0;
    void* place = bpf_map__initial_value(map, &size);
    if (place == nullptr || size < sizeof value) break;
    *static_cast<Value*>(place) = value;
    return {};
  }
  return Error(Code::kKernel, fmt::format("the programs have no room for {}", section));
}

// In the kernel, but pinned nowhere. reasons: none, without kernel_drop.
Result<Skeleton> load_object(const PinPaths& paths, const Settings& settings,
                             const weir_settings& frozen, const weir_kernel_reasons* reasons,
                             Migration& migration) {
  complaints().clear();
  migration = Migration::begin(paths);
  Skeleton skeleton(weir_bpf__open());
  if (!skeleton) return errno_error(errno, "open the programs: " + complaints());
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton->obj) {
    WEIR_TRY(prepare_map(skeleton->obj, map, paths, settings, migration));
  }
  WEIR_TRY(migration.shape(skeleton->obj));
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    const std::string_view name = bpf_program__name(program);
    const bool heir = std::ranges::find(kHeirs, name) != kHeirs.end();
    const bool wanted = heir                  ? migration.hands_over()
                        : name == kKernelDrop ? reasons != nullptr
                                              : is_needed(name, frozen);
    bpf_program__set_autoload(program, wanted);
    // Kernels without TCX know no such types, and clsact asks for none.
    if (settings.clsact != 0 && bpf_program__type(program) == BPF_PROG_TYPE_SCHED_CLS)
      bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(0));
  }
  WEIR_TRY(freeze(*skeleton, ".rodata.cfg", frozen));
  if (reasons != nullptr) WEIR_TRY(freeze(*skeleton, ".rodata.reasons", *reasons));
  if (const int err = weir_bpf__load(skeleton.get()); err != 0) {
    return errno_error(-err, "load the programs").within(complaints());
  }
  return skeleton;
}

constexpr const char* kKernelDropsLack = "what the kernel drops of pods' packets is not counted: ";

// Tracing is the only ability of the kernel that nothing else depends on.
Result<void> load(const PinPaths& paths, const Settings& settings, const weir_settings& frozen,
                  const std::string& build, Migration& migration, Remarks& remarks) {
  const weir_kernel_reasons* reasons = nullptr;
  auto known = Result<KernelReasons>(Error(Code::kNotFound, "not asked for"));
  if (settings.kernel_drops != 0) {
    known = KernelReasons::read();
    if (known) reasons = &known->abi();
    if (!known) remarks.warnings.push_back(kKernelDropsLack + known.error().text());
  }
  auto skeleton = load_object(paths, settings, frozen, reasons, migration);
  if (!skeleton && reasons != nullptr) {
    const int why = skeleton.error().saved_errno();
    skeleton = load_object(paths, settings, frozen, nullptr, migration);
    if (skeleton) {
      remarks.warnings.push_back(kKernelDropsLack + errno_error(why, "load its program").text());
    }
  }
  if (!skeleton) return skeleton.error();
  return pin_and_take_over(**skeleton, paths, build, migration, remarks);
}

Result<void> open_programs(const PinPaths& paths, const Settings& settings, Programs& out) {
  const std::string dir = paths.programs(out.build);
  const std::array<Fd*, kPrograms.size()> fds = {&out.from_pod, &out.to_pod, &out.from_net,
                                                 &out.to_net, &out.sweep};
  for (std::size_t i = 0; i < fds.size(); ++i) {
    WEIR_ASSIGN(*fds[i], open_pin(dir + "/" + kPrograms[i]));
  }
  WEIR_ASSIGN(out.stages_in, open_pin(dir + "/" + kStageTables[0]));
  WEIR_ASSIGN(out.stages_out, open_pin(dir + "/" + kStageTables[1]));
  if (settings.has_xdp()) {
    WEIR_ASSIGN(out.xdp, open_pin(dir + "/" + kXdp));
  }
  // Its pin is missing where the kernel has refused it.
  if (auto pinned = open_pin(dir + "/" + kKernelDrop); pinned && settings.kernel_drops != 0) {
    out.kernel_drop = std::move(*pinned);
  }
  if (!settings.has_sockets()) return {};
  for (std::size_t i = 0; i < kSocketPrograms.size(); ++i) {
    WEIR_ASSIGN(out.sockets[i], open_pin(dir + "/" + kSocketPrograms[i].name));
  }
  WEIR_ASSIGN(out.sock_find, open_pin(dir + "/" + kSocketIterators[0]));
  WEIR_ASSIGN(out.sock_end, open_pin(dir + "/" + kSocketIterators[1]));
  return {};
}

// Pinned programs hold their maps; a map that was let go and made anew would split the two.
bool maps_are_pinned(const PinPaths& paths, const Settings& settings) {
  return open_maps(paths, settings).has_value();
}

}  // namespace

Result<Programs> load_or_adopt(const PinPaths& paths, const Settings& settings, Remarks& remarks) {
  libbpf_set_print(keep_complaint);
  weir_settings frozen = settings.to_abi();
  frozen.hz = kernel_hz();
  Programs programs;
  programs.build = build_id(frozen);
  WEIR_TRY(make_pin_dir(paths.root));
  if (maps_are_pinned(paths, settings) && open_programs(paths, settings, programs)) {
    programs.adopted = true;
    if (settings.kernel_drops != 0 && !programs.kernel_drop) {
      remarks.warnings.push_back(std::string(kKernelDropsLack) +
                                 "the kernel has refused the program");
    }
    return programs;
  }
  WEIR_TRY(load(paths, settings, frozen, programs.build, programs.migration, remarks));
  WEIR_TRY(open_programs(paths, settings, programs));
  return programs;
}

Result<Maps> open_maps(const PinPaths& paths, const Settings& settings) {
  Maps maps;
  std::vector<std::pair<Fd*, const char*>> pins = {
      {&maps.state, "weir_state"},     {&maps.endpoint, "weir_endpoint"},
      {&maps.route, "weir_route"},     {&maps.device, "weir_device"},
      {&maps.ct, "weir_ct"},           {&maps.events, "weir_events"},
      {&maps.lost, "weir_lost"},       {&maps.metrics, "weir_metrics"},
      {&maps.sweep, "weir_sweep"},     {&maps.capture_filter, "weir_capture_f"},
      {&maps.capture, "weir_capture"}, {&maps.gone, "weir_gone"},
      {&maps.netns, "weir_netns"},
  };
  if (settings.services != 0) {
    pins.insert(pins.end(), {{&maps.service, "weir_service"},
                             {&maps.set, "weir_set"},
                             {&maps.backend, "weir_backend"},
                             {&maps.ring, "weir_ring"},
                             {&maps.ring_slot, "weir_ring_slot"},
                             {&maps.srcrange, "weir_srcrange"}});
  }
  if (settings.kernel_drops != 0) {
    pins.insert(pins.end(), {{&maps.kernel_drops, "weir_kdrop"},
                             {&maps.kernel_drops_by_pod, "weir_kdrop_pod"}});
  }
  for (const auto& [fd, name] : pins) {
    WEIR_ASSIGN(*fd, open_pin(paths.maps() + "/" + name));
  }
  if (settings.has_sockets()) {
    WEIR_ASSIGN(maps.sock_tcp, open_pin(paths.maps() + "/weir_sock_tcp"));
    WEIR_ASSIGN(maps.sock_gone, open_pin(paths.maps() + "/weir_sock_gone"));
  }
  return maps;
}

void forget_other_builds(const PinPaths& paths, const std::string& build) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths.root, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("progs-") && name != "progs-" + build) remove_pin_dir(entry.path());
  }
}

}  // namespace weir
