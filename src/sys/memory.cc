#include "sys/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>
#include <utility>

#include "sys/files.h"

namespace weir {
namespace {

constexpr std::size_t kMaxMaps = 4 << 20;
constexpr std::size_t kKiB = 1024;

struct Mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool is_of_a_file = false;  // and not written
  std::size_t resident = 0;
};

// "7f00-7f10 r-xp 00000000 fe:00 1234   /lib/libc.so.6" begins a mapping; "Rss:   4 kB" tells of
// it.
bool read_head(const char* line, Mapping& out) {
  unsigned long begin = 0;
  unsigned long end = 0;
  char access[5] = {};
  int path = 0;
  if (std::sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &begin, &end, access, &path) != 3) {
    return false;
  }
  out = {begin, end, line[path] == '/' && access[1] == '-' && access[3] == 'p', 0};
  return true;
}

// What was written and then protected, as relocations are, is not the file's any more.
void read_fact(const char* line, Mapping& mapping) {
  unsigned long kib = 0;
  if (std::sscanf(line, "Rss: %lu", &kib) == 1) mapping.resident = kib * kKiB;
  if (std::sscanf(line, "Anonymous: %lu", &kib) == 1 && kib > 0) mapping.is_of_a_file = false;
}

std::size_t release(const Mapping& mapping) {
  if (!mapping.is_of_a_file || mapping.resident == 0) return 0;
  void* begin = reinterpret_cast<void*>(mapping.begin);  // NOLINT: as the kernel names it
  return madvise(begin, mapping.end - mapping.begin, MADV_DONTNEED) == 0 ? mapping.resident : 0;
}

}  // namespace

std::size_t release_start_memory() {
  malloc_trim(0);
  auto maps = read_file("/proc/self/smaps", kMaxMaps);
  if (!maps) return 0;
  std::size_t out = 0;
  Mapping mapping;
  std::istringstream lines(std::move(*maps));
  for (std::string line; std::getline(lines, line);) {
    Mapping next;
    if (read_head(line.c_str(), next)) {
      out += release(mapping);
      mapping = next;
    } else {
      read_fact(line.c_str(), mapping);
    }
  }
  return out + release(mapping);
}

}  // namespace weir
