#include "dataplane/attach.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>

#include "sys/rcu.h"

namespace weir {
namespace {

constexpr const char* kIn = "in-";
constexpr const char* kOut = "out-";

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
  return LinkInfo{info.tcx.ifindex, info.prog_id};
}

}  // namespace

std::string Attacher::pin_path(const std::string& ifname, Direction direction) const {
  return fmt::format("{}/{}{}", paths_.links(), direction == Direction::kIngress ? kIn : kOut,
                     swap_dots(ifname, '.', ':'));
}

Result<void> Attacher::attach(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                              int program) {
  const std::string path = pin_path(ifname, direction);
  if (auto pinned = open_pin(path)) {
    WEIR_ASSIGN(const LinkInfo info, link_info(pinned->get()));
    if (info.ifindex == ifindex) {
      WEIR_ASSIGN(const std::uint32_t id, program_id(program));
      if (info.program == id) return {};
      if (bpf_link_update(pinned->get(), program, nullptr) == 0) return {};
      return errno_error(errno, "replace the program on " + ifname);
    }
    unlink(path.c_str());  // of an earlier link of that name
  }
  const bpf_attach_type type = direction == Direction::kIngress ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
  const ExpeditedRcu expedited;  // each change of a TCX chain waits for a grace period
  const Fd link(bpf_link_create(program, static_cast<int>(ifindex), type, nullptr));
  if (!link) return errno_error(errno, fmt::format("attach to {}", ifname));
  return pin(link.get(), path);
}

void Attacher::detach(const std::string& ifname) {
  const ExpeditedRcu expedited;
  for (const auto direction : {Direction::kIngress, Direction::kEgress}) {
    if (auto pinned = open_pin(pin_path(ifname, direction))) bpf_link_detach(pinned->get());
  }
  forget(ifname);
}

void Attacher::forget(const std::string& ifname) {
  for (const auto direction : {Direction::kIngress, Direction::kEgress}) {
    unlink(pin_path(ifname, direction).c_str());
  }
}

std::vector<std::string> Attacher::attached() const {
  std::set<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths_.links(), ignored)) {
    const std::string name = entry.path().filename();
    for (const std::string_view prefix : {kIn, kOut}) {
      if (name.starts_with(prefix)) names.insert(swap_dots(name.substr(prefix.size()), ':', '.'));
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace weir
