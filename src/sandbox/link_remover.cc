#include "sandbox/link_remover.h"

#include <vector>

#include "sys/node_links.h"
#include "sys/rcu.h"

namespace weir {

Result<std::unique_ptr<LinkRemover>> LinkRemover::open(Post post) {
  WEIR_ASSIGN(auto netlink, Netlink::open());
  return std::unique_ptr<LinkRemover>(new LinkRemover(std::move(netlink), std::move(post)));
}

LinkRemover::LinkRemover(Netlink netlink, Post post)
    : netlink_(std::move(netlink)), post_(std::move(post)), thread_([this] { run(); }) {}

LinkRemover::~LinkRemover() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LinkRemover::remove(std::string name, Done done) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(name), std::move(done)});
  }
  wake_.notify_one();
}

void LinkRemover::finish(Task task, Result<void> result) {
  post_([done = std::move(task.done), result = std::move(result)] { done(result); });
}

void LinkRemover::run() {
  while (true) {
    std::deque<Task> tasks;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      tasks.swap(waiting_);
    }
    std::vector<std::string> names;
    for (const auto& task : tasks) names.push_back(task.name);
    const auto result = [&] {
      const ExpeditedRcu expedited;
      return remove_links(netlink_, names);
    }();
    for (auto& task : tasks) finish(std::move(task), result);
  }
}

}  // namespace weir
