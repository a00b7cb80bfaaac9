#include "dataplane/pins.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace weir {

bool is_on_bpffs(const std::string& path) {
  struct statfs fs{};
  const std::string parent = path.substr(0, path.rfind('/'));
  return (statfs(path.c_str(), &fs) == 0 || statfs(parent.c_str(), &fs) == 0) &&
         fs.f_type == BPF_FS_MAGIC;
}

Result<Fd> open_pin(const std::string& path) {
  Fd fd(bpf_obj_get(path.c_str()));
  if (!fd) return errno_error(errno, fmt::format("pin {}", path));
  return fd;
}

Result<void> pin(int fd, const std::string& path) {
  if (bpf_obj_pin(fd, path.c_str()) != 0) return errno_error(errno, fmt::format("pin {}", path));
  return {};
}

Result<std::uint32_t> program_id(int fd) {
  bpf_prog_info info{};
  __u32 size = sizeof info;
  if (bpf_prog_get_info_by_fd(fd, &info, &size) != 0) return errno_error(errno, "program info");
  return info.id;
}

Result<void> make_pin_dir(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error(errno, fmt::format("mkdir {}", path));
  }
  return {};
}

void remove_pin_dir(const std::string& path) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    std::filesystem::remove(entry.path(), ignored);
  }
  std::filesystem::remove(path, ignored);
}

const Fd* PinnedLinks::find(const std::string& path) {
  auto held = held_.find(path);
  if (held == held_.end()) {
    auto pinned = open_pin(path);
    if (!pinned) return nullptr;
    held = held_.emplace(path, std::move(*pinned)).first;
  }
  return &held->second;
}

Result<void> PinnedLinks::add(const std::string& path, Fd link) {
  WEIR_TRY(pin(link.get(), path));
  held_.insert_or_assign(path, std::move(link));
  return {};
}

Result<void> PinnedLinks::pin_again(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) return {};
  WEIR_TRY(make_pin_dir(paths_.root));
  WEIR_TRY(make_pin_dir(paths_.links()));
  return pin(held_.at(path).get(), path);
}

void PinnedLinks::rename(const std::string& old, const std::string& path) {
  auto node = held_.extract(old);
  if (node.empty()) return;
  unlink(old.c_str());
  node.key() = path;
  held_.insert(std::move(node));
}

void PinnedLinks::forget(const std::string& path) {
  unlink(path.c_str());
  held_.erase(path);
}

}  // namespace weir
