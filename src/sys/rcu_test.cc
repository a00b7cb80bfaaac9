#include "sys/rcu.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace weir {
namespace {

constexpr const char* kKnob = "/sys/kernel/rcu_expedited";
constexpr const char* kMark = "/run/weir/rcu-expedited";

// A read-only /run with a writable /run/weir, in a mount namespace of this process.
bool enter_container() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", "/run", "tmpfs", 0, nullptr) == 0 && mkdir("/run/weir", 0755) == 0 &&
         mount("tmpfs", "/run/weir", "tmpfs", 0, nullptr) == 0 &&
         mount(nullptr, "/run", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
}

char knob() {
  const Fd file(open(kKnob, O_RDONLY | O_CLOEXEC));
  char value = '?';
  return file && read(file.get(), &value, 1) == 1 ? value : '?';
}

void be_killed_with_it() {
  const pid_t child = fork();
  if (child == 0) {
    const ExpeditedRcu expedited;
    _exit(EXIT_SUCCESS);
  }
  waitpid(child, nullptr, 0);
}

TEST(ExpeditedRcu, IsSetFromAContainerThatWritesToRunWeirAlone) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  if (access(kKnob, W_OK) != 0) GTEST_SKIP() << kKnob << " cannot be written";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!enter_container()) _exit(2);
    char value = '?';
    {
      const ExpeditedRcu expedited;
      value = knob();
    }
    _exit(value == '1' ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EXIT_SUCCESS) << "2: it could not make the container";
}

TEST(ExpeditedRcu, EndsAlsoWhenItsUserWasKilled) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  if (access(kKnob, W_OK) != 0) GTEST_SKIP() << kKnob << " cannot be written";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!enter_container()) _exit(2);
    be_killed_with_it();
    if (access(kMark, F_OK) != 0) _exit(3);
    ExpeditedRcu::end_abandoned();
    _exit(access(kMark, F_OK) != 0 && knob() == '0' ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EXIT_SUCCESS) << "2: it could not make the container";
}

}  // namespace
}  // namespace weir
