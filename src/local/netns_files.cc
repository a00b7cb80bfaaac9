#include "local/netns_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "sys/files.h"

namespace weir::local {
namespace {

constexpr const char* kNamed = "/run/netns";

// As `ip netns add` prepares the folder: a later `ip netns add` would else bind the folder over
// itself and keep a second, hidden copy of what is mounted in it.
Result<void> prepare_named() {
  WEIR_TRY(make_dirs(kNamed, 0755));
  if (mount("", kNamed, "none", MS_SHARED | MS_REC, nullptr) == 0) return {};
  if (errno != EINVAL) return errno_error(errno, kNamed);
  if (mount(kNamed, kNamed, "none", MS_BIND | MS_REC, nullptr) != 0 ||
      mount("", kNamed, "none", MS_SHARED | MS_REC, nullptr) != 0) {
    return errno_error(errno, kNamed);
  }
  return {};
}

}  // namespace

Result<void> bind_netns_file(const std::string& source, const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!file) return errno_error(errno, path);
  if (mount(source.c_str(), path.c_str(), "none", MS_BIND, nullptr) != 0) {
    const int error = errno;
    unlink(path.c_str());
    return errno_error(error, fmt::format("bind network namespace to {}", path));
  }
  return {};
}

Result<Netns> make_netns_file(const std::string& path) {
  if (path.starts_with(kNamed)) WEIR_TRY(prepare_named());
  WEIR_ASSIGN(const auto home, Netns::current());
  if (unshare(CLONE_NEWNET) != 0) return errno_error(errno, "make a network namespace");
  const auto bound = bind_netns_file("/proc/thread-self/ns/net", path);
  if (setns(home.fd(), CLONE_NEWNET) != 0) return errno_error(errno, "leave network namespace");
  if (!bound) return bound.error();
  return Netns::open(path);
}

void release_named() {
  const auto names = list_dir(kNamed);
  if (names && names->empty()) umount2(kNamed, 0);
}

Result<void> remove_netns_file(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != ENOENT && errno != EINVAL) {
    return errno_error(errno, path);
  }
  return remove_file(path);
}

}  // namespace weir::local
