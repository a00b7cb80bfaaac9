#include "sys/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/fd.h"

namespace weir {
namespace {

constexpr std::size_t kSize = 64 << 12;

// A file of kSize bytes, mapped privately.
struct MappedFile {
  std::string path = "/tmp/weir-memory.XXXXXX";
  Fd fd{mkstemp(path.data())};
  char* data = nullptr;

  MappedFile() {
    const std::string text(kSize, 'x');
    EXPECT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(kSize));
    void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0);
    data = static_cast<char*>(memory);
  }
  ~MappedFile() {
    munmap(data, kSize);
    unlink(path.c_str());
  }
  char sum() const {
    char out = 0;
    for (std::size_t i = 0; i < kSize; i += 4096) out = static_cast<char>(out ^ data[i]);
    return out;
  }
};

TEST(Memory, PagesOfFilesGoAndComeBack) {
  const MappedFile file;
  ASSERT_EQ(mprotect(file.data, kSize, PROT_READ), 0);
  EXPECT_EQ(file.sum(), 0);
  EXPECT_GE(release_start_memory(), kSize);
  EXPECT_EQ(file.data[kSize - 1], 'x');
}

TEST(Memory, WhatWasWrittenStays) {
  const MappedFile file;
  file.data[7] = 'y';
  ASSERT_EQ(mprotect(file.data, kSize, PROT_READ), 0);
  release_start_memory();
  EXPECT_EQ(file.data[7], 'y');
  ASSERT_EQ(mprotect(file.data, kSize, PROT_READ | PROT_WRITE), 0);
  file.data[8] = 'z';
  release_start_memory();
  EXPECT_EQ(file.data[8], 'z');
}

}  // namespace
}  // namespace weir
