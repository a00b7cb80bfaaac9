#include "sys/rcu.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/file.h>
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

// While nobody has it set: users hold the lock as long as that.
char knob_at_rest() {
  const Fd file(open(kKnob, O_RDWR | O_CLOEXEC));
  return file && flock(file.get(), LOCK_EX) == 0 ? knob() : '?';
}

void be_killed_with_it() {
  const pid_t child = fork();
  if (child == 0) {
    const ExpeditedRcu expedited;
    _exit(EXIT_SUCCESS);
  }
  waitpid(child, nullptr, 0);
}

// What `body` returns in a process of its own, in the container; -1: it was killed.
int in_container(int (*body)()) {
  const pid_t child = fork();
  if (child == 0) _exit(enter_container() ? body() : 2);
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class ExpeditedRcuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    if (access(kKnob, W_OK) != 0) GTEST_SKIP() << kKnob << " cannot be written";
  }
};

TEST_F(ExpeditedRcuTest, IsSetFromAContainerThatWritesToRunWeirAlone) {
  const int status = in_container([] {
    const ExpeditedRcu expedited;
    return knob() == '1' ? EXIT_SUCCESS : EXIT_FAILURE;
  });
  EXPECT_EQ(status, EXIT_SUCCESS) << "2: it could not make the container";
}

TEST_F(ExpeditedRcuTest, EndsAlsoWhenItsUserWasKilled) {
  const int status = in_container([] {
    be_killed_with_it();
    if (access(kMark, F_OK) != 0) return 3;
    ExpeditedRcu::end_abandoned();
    return access(kMark, F_OK) != 0 && knob_at_rest() == '0' ? EXIT_SUCCESS : EXIT_FAILURE;
  });
  EXPECT_EQ(status, EXIT_SUCCESS) << "2: it could not make the container";
}

}  // namespace
}  // namespace weir
