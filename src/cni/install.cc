#include "cni/install.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "base/fd.h"

namespace weir::cni {
namespace {

std::string fault(const std::string& path) {
  return path + ": " + std::generic_category().message(errno);
}

std::string copy(int from, const std::string& path) {
  const Fd to(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755));
  if (!to) return fault(path);
  struct stat st{};
  if (fstat(from, &st) != 0) return fault("own file");
  for (off_t done = 0; done < st.st_size;) {
    if (sendfile(to.get(), from, &done, static_cast<std::size_t>(st.st_size - done)) <= 0) {
      return fault(path);
    }
  }
  // The umask has had its say.
  return fchmod(to.get(), 0755) == 0 && fsync(to.get()) == 0 ? "" : fault(path);
}

}  // namespace

std::string install(const std::string& folder) {
  const Fd self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self) return fault("/proc/self/exe");
  const std::string path = folder + "/weir-cni";
  const std::string unfinished = folder + "/.weir-cni.new";  // no name that a runtime calls
  std::string bad = copy(self.get(), unfinished);
  if (bad.empty() && rename(unfinished.c_str(), path.c_str()) != 0) bad = fault(path);
  if (!bad.empty()) unlink(unfinished.c_str());
  return bad;
}

}  // namespace weir::cni
