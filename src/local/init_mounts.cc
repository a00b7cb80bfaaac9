// The file system of a pod: the host's, read-only, with what is the pod's own laid over it.

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "local/init.h"
#include "sys/files.h"

namespace weir::local {
namespace {

constexpr std::array kFresh = {"/tmp", "/run", "/var"};

Result<void> mount_on(const char* type, const std::string& path, unsigned long flags,
                      const char* options) {
  if (mount(type, path.c_str(), type, flags, options) == 0) return {};
  return errno_error(errno, fmt::format("mount {} on {}", type, path));
}

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

// Mounts of a pod would keep alive what others mean to take down: pinned BPF objects, named
// namespaces, and all that lies below the folders that the pod has of its own.
bool is_foreign(const std::string& path, const std::string& type) {
  return type == "bpf" || type == "nsfs" ||
         std::any_of(kFresh.begin(), kFresh.end(),
                     [&](const char* folder) { return is_below(path, folder); });
}

Result<void> leave_foreign_mounts() {
  WEIR_ASSIGN(const auto text, read_file("/proc/self/mountinfo", 16 << 20));
  std::istringstream lines(text);
  std::vector<std::string> paths;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string skip;
    std::string path;
    std::string type;
    words >> skip >> skip >> skip >> skip >> path;
    const auto dash = line.find(" - ");
    if (dash != std::string::npos) std::istringstream(line.substr(dash + 3)) >> type;
    if (is_foreign(path, type)) paths.push_back(path);
  }
  for (auto path = paths.rbegin(); path != paths.rend(); ++path) {
    umount2(path->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);  // may be gone with its parent
  }
  return {};
}

Result<void> make_read_only() {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof attributes) == 0) return {};
  return errno_error(errno, "make the file system read-only");
}

// A mount of the file or folder that is nowhere yet.
Result<Fd> copy_mount(const std::string& path) {
  Fd fd(open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!fd) return errno_error(errno, path);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(fd.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return errno_error(errno, path);
  }
  return fd;
}

Result<void> put_mount(const Fd& mount_fd, const std::string& path) {
  if (move_mount(mount_fd.get(), "", AT_FDCWD, path.c_str(),
                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) == 0) {
    return {};
  }
  return errno_error(errno, fmt::format("mount on {}", path));
}

// Where a link leads into a folder that is the pod's own, the file is to be made there.
void make_link_target(const std::string& path) {
  std::error_code ignored;
  const auto target = std::filesystem::weakly_canonical(path, ignored);
  if (target.empty() || target == path) return;
  std::filesystem::create_directories(target.parent_path(), ignored);
  const Fd file(open(target.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

Result<void> mount_own_folders() {
  for (const char* folder : kFresh) {
    const bool everyone = std::string_view(folder) == "/tmp";
    WEIR_TRY(mount_on("tmpfs", folder, MS_NOSUID | MS_NODEV, everyone ? "mode=1777" : "mode=755"));
  }
  for (const char* folder : {"/var/tmp", "/var/log", "/var/lib", "/var/cache", "/run/lock"}) {
    WEIR_TRY(make_dirs(folder, 0755));
  }
  if (chmod("/var/tmp", 01777) != 0 || symlink("/run", "/var/run") != 0) {
    return errno_error(errno, "/var");
  }
  WEIR_TRY(mount_on("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
  WEIR_TRY(mount_on("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, nullptr));
  for (const char* path : {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"}) {
    if (!std::filesystem::exists(path)) continue;
    WEIR_ASSIGN(const auto same, copy_mount(path));
    WEIR_TRY(put_mount(same, path));
  }
  if (std::filesystem::is_directory("/dev/shm")) {
    WEIR_TRY(mount_on("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777,size=64m"));
  }
  return {};
}

struct Copy {
  Fd mount;
  std::string target;
  bool folder;
};

Result<std::vector<Copy>> copy_mounts(const std::vector<InitMount>& mounts) {
  std::vector<Copy> copies;
  for (const auto& wanted : mounts) {
    WEIR_ASSIGN(auto mount, copy_mount(wanted.source));
    copies.push_back(
        {std::move(mount), wanted.target, std::filesystem::is_directory(wanted.source)});
  }
  return copies;
}

Result<void> put_copy(const Copy& copy) {
  if (copy.folder) {
    WEIR_TRY(make_dirs(copy.target, 0755));
  } else {
    WEIR_TRY(write_file_atomic(copy.target, ""));
  }
  return put_mount(copy.mount, copy.target);
}

}  // namespace

Result<void> mount_pod(const InitSpec& spec) {
  if (mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return errno_error(errno, "make mounts private");
  }
  WEIR_ASSIGN(const auto hosts, copy_mount(spec.hosts));
  WEIR_ASSIGN(const auto resolv_conf, copy_mount(spec.resolv_conf));
  WEIR_ASSIGN(const auto programs, copy_mount(spec.programs));
  WEIR_ASSIGN(const auto copies, copy_mounts(spec.mounts));
  if (chdir("/") != 0) return errno_error(errno, "/");
  WEIR_TRY(leave_foreign_mounts());
  WEIR_TRY(make_read_only());
  WEIR_TRY(mount_own_folders());
  WEIR_TRY(make_dirs(kPodPrograms, 0755));
  WEIR_TRY(put_mount(programs, kPodPrograms));
  for (const auto& copy : copies) WEIR_TRY(put_copy(copy));
  WEIR_TRY(put_mount(hosts, "/etc/hosts"));
  make_link_target("/etc/resolv.conf");
  if (std::filesystem::exists("/etc/resolv.conf")) {
    WEIR_TRY(put_mount(resolv_conf, "/etc/resolv.conf"));
  }
  return {};
}

Result<void> drop_capabilities() {
  constexpr std::array kKept = {
      CAP_CHOWN,      CAP_DAC_OVERRIDE, CAP_FOWNER,      CAP_FSETID,           CAP_KILL,
      CAP_SETGID,     CAP_SETUID,       CAP_SETPCAP,     CAP_NET_BIND_SERVICE, CAP_NET_RAW,
      CAP_SYS_CHROOT, CAP_MKNOD,        CAP_AUDIT_WRITE, CAP_SETFCAP};
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (std::find(kKept.begin(), kKept.end(), capability) != kKept.end()) continue;
    if (prctl(PR_CAPBSET_DROP, capability) != 0) return errno_error(errno, "drop capabilities");
  }
  return {};
}

}  // namespace weir::local
