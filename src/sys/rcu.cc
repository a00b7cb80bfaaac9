#include "sys/rcu.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weir {
namespace {

constexpr const char* kKnob = "/sys/kernel/rcu_expedited";
// There while the knob is ours: who finds it under the lock knows that the last user was killed.
// In the one folder of /run that an agent's container can write to, and shares with all agents.
constexpr const char* kFolder = "/run/weir";
constexpr const char* kMark = "/run/weir/rcu-expedited";

}  // namespace

ExpeditedRcu::ExpeditedRcu() : knob_(open(kKnob, O_RDWR | O_CLOEXEC)) {
  if (!knob_ || flock(knob_.get(), LOCK_EX) != 0) return;
  char value = '0';
  if (pread(knob_.get(), &value, 1, 0) != 1) return;
  const bool ours = access(kMark, F_OK) == 0;
  if (value != '0' && !ours) return;  // somebody wants it so
  mkdir(kFolder, 0755);               // agents can have their own folder elsewhere
  const Fd mark(open(kMark, O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
  set_ = mark && pwrite(knob_.get(), "1", 1, 0) == 1;
}

ExpeditedRcu::~ExpeditedRcu() {
  if (!set_) return;
  if (pwrite(knob_.get(), "0", 1, 0) == 1) unlink(kMark);
}

void ExpeditedRcu::end_abandoned() {
  if (access(kMark, F_OK) == 0) const ExpeditedRcu taken_over;
}

}  // namespace weir
