// How attachments go: endpoint retracted, link removed, addresses at rest, record removed; in this
// order, so that an interruption anywhere leaves a record or a link to go on from.
#include <fmt/format.h>

#include <algorithm>

#include "sandbox/pool_state.h"
#include "sandbox/sandbox.h"
#include "sys/files.h"
#include "sys/links.h"

namespace weir {

void Sandboxes::del(const cni::Request& request, const Answer& answer) {
  if (const auto busy = busy_.find(request.id); busy != busy_.end()) {
    busy->second.emplace_back([this, request, answer] { del(request, answer); });
    return;
  }
  free(request.id, [request, answer](const cni::Failure* failure) {
    answer(failure == nullptr ? cni::success_answer("{}")
                              : cni::failure_answer(request.version, *failure));
  });
}

void Sandboxes::collect_garbage(const cni::Request& request, const Answer& answer) {
  std::vector<cni::AttachmentId> dead;
  for (const auto& [id, record] : records_) {
    const bool attached = std::ranges::find(request.attached, id) != request.attached.end();
    if (record.network == request.network && !attached && !busy_.contains(id)) dead.push_back(id);
  }
  if (dead.empty()) return answer(cni::success_answer("{}"));
  struct Progress {
    std::size_t left;
    std::string failures;
  };
  const auto progress = std::make_shared<Progress>(Progress{dead.size(), {}});
  for (const auto& id : dead) {
    free(id, [request, answer, progress, id](const cni::Failure* failure) {
      if (failure != nullptr) progress->failures += id.owner() + ": " + failure->message + "; ";
      if (--progress->left != 0) return;
      answer(progress->failures.empty()
                 ? cni::success_answer("{}")
                 : cni::failure_answer(request.version, {cni::kIoFailure, progress->failures, {}}));
    });
  }
}

// REQUIRES: not busy. Unknown is success.
void Sandboxes::free(const cni::AttachmentId& id, const Freed& freed) {
  const auto found = records_.find(id);
  if (found == records_.end()) return free_unrecorded(id, freed);
  Record& record = found->second;
  record.deleting = true;
  if (auto written = write_file_atomic(record_path(id), encode_record(record)); !written) {
    note_(fmt::format("DEL of {}: {}", id.owner(), written.error().text()));
  }
  if (auto retracted = sink_.retract(record.endpoint.handle); !retracted) {
    const cni::Failure failure{cni::kTryAgainLater, retracted.error().text(), {}};
    return freed(&failure);
  }
  remove_link_of(id, record.endpoint.host_ifname, record.endpoint.host_ifindex, freed);
}

// What there may be without a record: the link of an ADD that failed, addresses, an unreadable
// file.
void Sandboxes::free_unrecorded(const cni::AttachmentId& id, const Freed& freed) {
  const auto name = host_link_name(id);
  const auto link = find_link(netlink_, name);
  if (!link) {
    forget(id);
    return freed(nullptr);
  }
  remove_link_of(id, name, link->index, freed);
}

void Sandboxes::free_quietly(const cni::AttachmentId& id, const std::string& why) {
  note_(fmt::format("attachment {} is freed: {}", id.owner(), why));
  free(id, [this, id](const cni::Failure* failure) {
    if (failure != nullptr) note_(fmt::format("freeing {}: {}", id.owner(), failure->message));
  });
}

void Sandboxes::forget(const cni::AttachmentId& id) {
  release(id.owner());  // before its record goes: an address rests whatever happens in between
  if (auto removed = remove_file(record_path(id)); !removed) note_(removed.error().text());
  records_.erase(id);
}

void Sandboxes::remove_link_of(const cni::AttachmentId& id, const std::string& name,
                               std::uint32_t ifindex, const Freed& freed) {
  busy_[id];
  leaving_[ifindex] = [this, id, name, freed] { finish(id, name, {}, freed); };
  remover_->remove(name, [this, id, name, ifindex, freed](const Result<void>& removed) {
    if (leaving_.erase(ifindex) != 0) finish(id, name, removed, freed);
  });
}

void Sandboxes::link_gone(std::uint32_t ifindex) {
  if (const auto leaving = leaving_.extract(ifindex)) leaving.mapped()();
}

// The attachment is free for requests again before `freed` hears of it; those that waited come
// after.
void Sandboxes::finish(const cni::AttachmentId& id, const std::string& name,
                       const Result<void>& removed, const Freed& freed) {
  const auto waiting = busy_.extract(id);
  if (removed) {
    sink_.released(name);
    forget(id);
    freed(nullptr);
  } else {
    const cni::Failure failure{cni::kIoFailure, removed.error().text(), {}};
    freed(&failure);
  }
  for (const auto& next : waiting.mapped()) next();
}

void Sandboxes::release(const std::string& owner) {
  bool any = false;
  for (const auto& pool : pools_) any |= pool->release(owner);
  if (any) save_pools();
}

void Sandboxes::save_pools() {
  PoolState state{saved_handle_, {}};
  for (const auto& pool : pools_) {
    const auto resting = pool->resting();
    state.resting.insert(state.resting.end(), resting.begin(), resting.end());
  }
  const auto saved = save_pool_state(config_.state_dir + "/pools.json", state);
  if (!saved) note_(saved.error().text());
}

}  // namespace weir
