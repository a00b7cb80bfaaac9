#include "dataplane/link_hooks.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <set>
#include <span>
#include <system_error>

#include "sys/rcu.h"

namespace weir {
namespace {

constexpr std::size_t kMostPrograms = 64;  // BPF_MPROG_MAX

struct Place {
  const char* prefix;  // of pins
  bpf_attach_type type;
  std::uint32_t flags;
};

constexpr std::array<Place, std::size(kDirections)> kPlaces = {{
    {"in-", BPF_TCX_INGRESS, 0},
    {"out-", BPF_TCX_EGRESS, 0},
    {"xdp-", BPF_XDP, XDP_FLAGS_DRV_MODE},
}};

const Place& place_of(Direction direction) {
  return kPlaces.at(static_cast<std::size_t>(direction));
}

// bpffs takes no dots in names, links no colons.
std::string swap_dots(std::string name, char from, char to) {
  std::ranges::replace(name, from, to);
  return name;
}

struct LinkInfo {
  std::uint32_t ifindex = 0;  // 0: the device is gone
  std::uint32_t program = 0;  // id
};

Result<LinkInfo> link_info(int fd) {
  bpf_link_info info{};
  __u32 size = sizeof info;
  if (bpf_link_get_info_by_fd(fd, &info, &size) != 0) return errno_error(errno, "link info");
  const bool xdp = info.type == BPF_LINK_TYPE_XDP;
  return LinkInfo{xdp ? info.xdp.ifindex : info.tcx.ifindex, info.prog_id};
}

Error refused(Direction direction, const std::string& ifname, int why) {
  if (direction == Direction::kXdp && why == EOPNOTSUPP)
    return Error(Code::kKernel, fmt::format("the driver of {} has no XDP", ifname), why);
  if (direction == Direction::kXdp && why == EBUSY)
    return Error(Code::kExists, fmt::format("{} has another XDP program", ifname), why);
  return errno_error(why, fmt::format("attach to {}", ifname));
}

}  // namespace

// As any link namespace's first link, loopback is there.
bool has_tcx() {
  constexpr int kLoopback = 1;
  LIBBPF_OPTS(bpf_prog_query_opts, query);
  return bpf_prog_query_opts(kLoopback, BPF_TCX_INGRESS, &query) == 0;
}

std::string program_name(std::uint32_t id) {
  const Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  __u32 size = sizeof info;
  if (!program || bpf_prog_get_info_by_fd(program.get(), &info, &size) != 0) return {};
  return info.name;
}

std::string LinkHooks::pin_path(const std::string& ifname, Direction direction) const {
  return fmt::format("{}/{}{}", paths_.links(), place_of(direction).prefix,
                     swap_dots(ifname, '.', ':'));
}

void LinkHooks::follow_rename(const std::string& ifname, std::uint32_t ifindex) {
  for (const Direction direction : kDirections) {
    const std::string path = pin_path(ifname, direction);
    if (links_.find(path) != nullptr) continue;
    for (const std::string& name : attached()) {
      const std::string other = pin_path(name, direction);
      const Fd* link = links_.find(other);
      const auto info = link != nullptr ? link_info(link->get()) : LinkInfo{};
      if (info && info->ifindex == ifindex) links_.rename(other, path);
    }
  }
}

Result<bool> LinkHooks::attach(const std::string& ifname, std::uint32_t ifindex,
                               Direction direction, int program) {
  const std::string path = pin_path(ifname, direction);
  if (const Fd* link = links_.find(path)) {
    WEIR_ASSIGN(const LinkInfo info, link_info(link->get()));
    if (info.ifindex == ifindex) {
      WEIR_ASSIGN(const std::uint32_t id, program_id(program));
      if (info.program != id && bpf_link_update(link->get(), program, nullptr) != 0) {
        return errno_error(errno, "replace the program on " + ifname);
      }
      WEIR_TRY(links_.pin_again(path));
      return false;
    }
    links_.forget(path);  // of an earlier link of that name, or detached by somebody else
  }
  const ExpeditedRcu expedited;  // each change of a TCX chain waits for a grace period
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = place_of(direction).flags);
  Fd link(bpf_link_create(program, static_cast<int>(ifindex), place_of(direction).type, &options));
  if (!link) return refused(direction, ifname, errno);
  WEIR_TRY(links_.add(path, std::move(link)));
  return true;
}

bool LinkHooks::has(const std::string& ifname, std::uint32_t ifindex, Direction direction) {
  const Fd* link = links_.find(pin_path(ifname, direction));
  const auto info = link != nullptr ? link_info(link->get()) : LinkInfo{};
  return info && info->ifindex == ifindex;
}

void LinkHooks::detach(const std::string& ifname, Direction direction) {
  const std::string path = pin_path(ifname, direction);
  if (const Fd* link = links_.find(path)) bpf_link_detach(link->get());
  links_.forget(path);
}

void LinkHooks::forget(const std::string& ifname) {
  for (const Direction direction : kDirections) links_.forget(pin_path(ifname, direction));
}

std::vector<std::string> LinkHooks::attached() {
  std::set<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths_.links(), ignored)) {
    const std::string name = entry.path().filename();
    for (const Place& place : kPlaces) {
      const std::string_view prefix = place.prefix;
      if (name.starts_with(prefix)) names.insert(swap_dots(name.substr(prefix.size()), ':', '.'));
    }
  }
  return {names.begin(), names.end()};
}

std::vector<OtherProgram> LinkHooks::others(const std::string& ifname, std::uint32_t ifindex) {
  std::vector<OtherProgram> out;
  for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
    const Fd* link = links_.find(pin_path(ifname, direction));
    const auto info = link != nullptr ? link_info(link->get()) : LinkInfo{};
    std::array<std::uint32_t, kMostPrograms> ids{};
    LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids.data(), .count = ids.size());
    const auto type = place_of(direction).type;
    if (!info || bpf_prog_query_opts(static_cast<int>(ifindex), type, &query) != 0) continue;
    const std::span<const std::uint32_t> running(ids.data(), query.count);
    const auto own = std::ranges::find(running, info->program);
    for (auto one = running.begin(); one != running.end(); ++one) {
      if (one != own) out.push_back({direction, "tcx", program_name(*one), one < own});
    }
  }
  return out;
}

}  // namespace weir
