#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "model/endpoint.h"
#include "sandbox/cni_request.h"
#include "sandbox/link_remover.h"
#include "sandbox/pod_link.h"
#include "sandbox/pool.h"
#include "sandbox/record.h"
#include "sys/netlink.h"

namespace weir {

// Where attachments go when their link is there.
class EndpointSink {
 public:
  virtual ~EndpointSink() = default;
  // Returns when the pod's first packet will be handled right. Publishing again is harmless.
  virtual Result<void> publish(const Endpoint& endpoint) = 0;
  // Unknown handles are fine. The link still exists.
  virtual Result<void> retract(std::uint32_t handle) = 0;
  // A retracted endpoint's link is gone: nothing that was held for it is needed any more.
  virtual void released(const std::string& /*host_ifname*/) {}
};

struct SandboxConfig {
  std::string state_dir;
  std::vector<Cidr> pod_cidrs;  // at most one per family; pods' addresses come in this order
  PodLinkOptions link;
  std::uint64_t rest_ns = 30'000'000'000;
};

// The attachments of this node: CNI requests in, links, addresses, records and endpoints out.
// Lives on one thread, that of `post`, in the node's namespace; outlives the runs of that loop.
// ADD runs to its end at once (about a millisecond); removing a link goes through LinkRemover.
class Sandboxes {
 public:
  using Answer = std::function<void(std::string)>;       // takes the JSON document for weir-cni
  using Note = std::function<void(const std::string&)>;  // for the log

  static Result<std::unique_ptr<Sandboxes>> open(SandboxConfig config, EndpointSink& sink,
                                                 LinkRemover::Post post, Note note);

  // Once, before the first handle(): takes back what earlier runs recorded, publishes what lives,
  // frees what is dead, ends what was interrupted, applies spooled DELs.
  Result<void> restore();

  // One request document. The answer comes at once or later, on this thread, once.
  void handle(std::string_view document, const Answer& answer);

  // Frees attachments whose namespace or link is gone, and links without a record; sets sizes and
  // limits of rates again that somebody changed; applies spooled DELs. To be called every few
  // seconds.
  void sweep();
  // The kernel says that a link of the node is gone. It says so before whoever removed it returns,
  // which is some 16 ms later: DEL need not wait for that.
  void link_gone(std::uint32_t ifindex);

  // Of pods to come; gso_max_size also of those that there are.
  void set_link_options(PodLinkOptions options);
  std::vector<Endpoint> endpoints() const;
  std::vector<PoolUse> pools() const;
  bool idle() const { return busy_.empty(); }

 private:
  // What to do when an attachment has been freed; empty text: it worked.
  using Freed = std::function<void(const cni::Failure*)>;

  Sandboxes(SandboxConfig config, EndpointSink& sink, Note note, Netlink netlink, Netns home);
  Result<void> make_pools();

  void dispatch(const cni::Request& request, const Answer& answer);
  void add(const cni::Request& request, const Answer& answer);
  void add_again(const cni::Request& request, const Netns& netns, const Record& record,
                 const Answer& answer);
  void add_new(const cni::Request& request, const Netns& netns, const Answer& answer);
  Result<Endpoint> plan(const cni::Request& request, const Netns& netns);
  Result<void> check_ports(const cni::Request& request) const;
  Result<void> allocate(const cni::Request& request, Endpoint& endpoint);
  Result<std::uint32_t> next_handle();
  std::expected<std::string, cni::Failure> attach(const cni::Request& request, const Netns& netns,
                                                  const Record& record);
  void undo(const cni::Request& request, const Endpoint& endpoint, const cni::Failure& failure,
            const Answer& answer);
  void check(const cni::Request& request, const Answer& answer);
  void status(const cni::Request& request, const Answer& answer);

  void del(const cni::Request& request, const Answer& answer);
  void collect_garbage(const cni::Request& request, const Answer& answer);
  void free(const cni::AttachmentId& id, const Freed& freed);
  void free_unrecorded(const cni::AttachmentId& id, const Freed& freed);
  void free_quietly(const cni::AttachmentId& id, const std::string& why);
  void forget(const cni::AttachmentId& id);
  void remove_link_of(const cni::AttachmentId& id, const std::string& name, std::uint32_t ifindex,
                      const Freed& freed);
  void finish(const cni::AttachmentId& id, const std::string& name, const Result<void>& removed,
              const Freed& freed);

  Result<void> restore_pools();
  Result<void> restore_records();
  void restore_live(const std::vector<Link>& links);
  void sweep_links(const std::vector<Link>& links);
  void sweep_rates();
  void resize_links(const std::vector<Link>& links);
  void apply_spool();
  void apply_spooled(const std::string& path);
  std::string death_of(const Record& record, const std::vector<Link>& links) const;
  void release(const std::string& owner);
  void save_pools();
  std::string record_path(const cni::AttachmentId& id) const;

  SandboxConfig config_;
  EndpointSink& sink_;
  Note note_;
  Netlink netlink_;
  Netns home_;
  std::vector<std::unique_ptr<AddressPool>> pools_;
  std::uint32_t next_handle_ = 1;
  std::uint32_t saved_handle_ = 1;  // pools.json says: all handles are lower
  std::map<cni::AttachmentId, Record> records_;
  // Attachments whose link is being removed, and what waits for the end of that.
  std::map<cni::AttachmentId, std::vector<std::function<void()>>> busy_;
  std::map<std::uint32_t, std::function<void()>> leaving_;  // by ifindex, until the link is gone
  std::vector<std::string> kept_links_;                     // of records that cannot be read
  std::unique_ptr<LinkRemover> remover_;
};

}  // namespace weir
