#include "dataplane/cgroup_attach.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <ranges>

namespace weir {
namespace {

struct OpenCgroup {
  Fd fd;
  std::uint64_t id = 0;
};

Result<OpenCgroup> open_cgroup(const std::string& path) {
  OpenCgroup cgroup;
  cgroup.fd = Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.fd) return errno_error(errno, "cgroup " + path);
  struct statfs fs{};
  struct stat st{};
  if (fstatfs(cgroup.fd.get(), &fs) != 0 || fstat(cgroup.fd.get(), &st) != 0) {
    return errno_error(errno, "cgroup " + path);
  }
  if (fs.f_type != CGROUP2_SUPER_MAGIC) {
    return Error(Code::kInvalid, fmt::format("{} is not in a cgroup v2 hierarchy", path));
  }
  cgroup.id = st.st_ino;  // the kernel gives cgroups their inode as id
  return cgroup;
}

}  // namespace

std::string CgroupAttacher::pin_path(const char* program) const {
  return paths_.links() + "/" + program;
}

Result<bool> CgroupAttacher::attach_one(int cgroup, std::uint64_t cgroup_id,
                                        const SocketProgram& what, int program) {
  const std::string path = pin_path(what.name);
  if (const Fd* link = links_.find(path)) {
    bpf_link_info info{};
    __u32 size = sizeof info;
    if (bpf_link_get_info_by_fd(link->get(), &info, &size) != 0) {
      return errno_error(errno, "link info");
    }
    if (info.cgroup.cgroup_id == cgroup_id) {
      WEIR_ASSIGN(const std::uint32_t id, program_id(program));
      if (info.prog_id != id && bpf_link_update(link->get(), program, nullptr) != 0) {
        return errno_error(errno, fmt::format("replace {}", what.name));
      }
      WEIR_TRY(links_.pin_again(path));
      return false;
    }
    links_.forget(path);  // of another cgroup, or of one that is gone
  }
  Fd link(bpf_link_create(program, cgroup, static_cast<bpf_attach_type>(what.type), nullptr));
  if (!link) return errno_error(errno, fmt::format("attach {}", what.name));
  WEIR_TRY(links_.add(path, std::move(link)));
  return true;
}

Result<bool> CgroupAttacher::attach(const std::string& cgroup, const Programs& programs) {
  WEIR_ASSIGN(const OpenCgroup opened, open_cgroup(cgroup));
  bool any = false;
  for (std::size_t i = 0; i < kSocketPrograms.size(); ++i) {
    auto done =
        attach_one(opened.fd.get(), opened.id, kSocketPrograms[i], programs.sockets[i].get());
    if (!done) return done.error().within("cgroup " + cgroup);
    any = any || *done;
  }
  return any;
}

void CgroupAttacher::detach() {
  for (const SocketProgram& program : kSocketPrograms | std::views::reverse) {
    const std::string path = pin_path(program.name);
    if (const Fd* link = links_.find(path)) bpf_link_detach(link->get());
    links_.forget(path);
  }
}

}  // namespace weir
