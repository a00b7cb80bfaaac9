#include "agent/kernel.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace weir {
namespace {

struct Capability {
  unsigned bit;
  const char* name;
};

// CAP_SYS_ADMIN: entering the pods' network namespaces.
constexpr Capability kNeeded[] = {{CAP_BPF, "CAP_BPF"},
                                  {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                  {CAP_PERFMON, "CAP_PERFMON"},
                                  {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}};

std::uint64_t own_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].effective | (std::uint64_t{data[1].effective} << 32);
}

}  // namespace

Kernel Kernel::ask() {
  utsname name{};
  uname(&name);
  return {.release = name.release,
          .has_types = access("/sys/kernel/btf/vmlinux", R_OK) == 0,
          .capabilities = own_capabilities()};
}

Result<void> check(const Kernel& kernel) {
  int major = 0;
  int minor = 0;
  std::sscanf(kernel.release.c_str(), "%d.%d", &major, &minor);
  if (major < 6 || (major == 6 && minor < 1)) {
    return Error(Code::kKernel,
                 fmt::format("kernel {} is too old: Weir needs 6.1 or newer", kernel.release));
  }
  std::string missing;
  for (const auto& [bit, name] : kNeeded) {
    if ((kernel.capabilities >> bit & 1) == 0) missing += fmt::format(" {}", name);
  }
  if (!missing.empty()) {
    return Error(
        Code::kDenied,
        fmt::format("weir-agent lacks{}: run it as root, in a container as a privileged one",
                    missing));
  }
  if (!kernel.has_types) {
    return Error(Code::kKernel, fmt::format("kernel {} has no BTF (/sys/kernel/btf/vmlinux): one "
                                            "built with CONFIG_DEBUG_INFO_BTF is needed",
                                            kernel.release));
  }
  return {};
}

Error explain_vxlan(const Error& error) {
  if (error.saved_errno() != EOPNOTSUPP) return error;
  return {
      Code::kKernel,
      "the kernel has no VXLAN devices: load its module vxlan (CONFIG_VXLAN), or route natively "
      "with --tunnel false",
      EOPNOTSUPP};
}

}  // namespace weir
