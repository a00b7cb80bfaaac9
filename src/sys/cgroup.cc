#include "sys/cgroup.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <sstream>

#include "sys/files.h"

namespace weir {

std::string find_cgroup2() {
  const auto text = read_file("/proc/self/mountinfo", 16 << 20);
  if (!text) return {};
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream words(line);
    std::string path;
    for (int i = 0; i < 5; ++i) words >> path;
    return path;
  }
  return {};
}

bool is_cgroup2(const std::string& path) {
  struct statfs fs{};
  return statfs(path.c_str(), &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

std::string cgroup2_below(const std::string& path) {
  const std::string unified = path + "/unified";
  return !is_cgroup2(path) && is_cgroup2(unified) ? unified : path;
}

}  // namespace weir
