#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "sys/netlink.h"

namespace weir {

// Removes links on a thread of its own, for the kernel takes some 16 ms for it (a grace period).
// Links that wait together go together.
class LinkRemover {
 public:
  using Done = std::function<void(Result<void>)>;
  // Runs a closure on the owner's thread.
  using Post = std::function<void(std::function<void()>)>;

  // Works in the calling thread's namespace.
  static Result<std::unique_ptr<LinkRemover>> open(Post post);
  // Links that still wait are left.
  ~LinkRemover();

  // `done` comes by `post` when the link is gone, or was never there.
  void remove(std::string name, Done done);

 private:
  struct Task {
    std::string name;
    Done done;
  };
  LinkRemover(Netlink netlink, Post post);
  void run();
  void finish(Task task, Result<void> result);

  Netlink netlink_;  // the thread's
  Post post_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> waiting_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace weir
