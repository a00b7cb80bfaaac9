#include "dataplane/pins.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace weir {

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

}  // namespace weir
