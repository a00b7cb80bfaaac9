#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/api_servers.h"
#include "agent/big_tcp.h"
#include "agent/event_writer.h"
#include "agent/gone_pods.h"
#include "agent/node_writer.h"
#include "agent/options.h"
#include "agent/path_prober.h"
#include "agent/pod_endpoint_writer.h"
#include "agent/service_view.h"
#include "agent/services.h"
#include "agent/starting.h"
#include "agent/sweeper.h"
#include "agent/uplinks.h"
#include "agent/xdp_links.h"
#include "api/backend.h"
#include "api/server.h"
#include "compile/compile.h"
#include "dataplane/dataplane.h"
#include "k8s/source.h"
#include "observe/flow_recorder.h"
#include "observe/totals.h"
#include "sandbox/sandbox.h"
#include "sandbox/server.h"
#include "state/names.h"
#include "state/node_local.h"
#include "state/pod_split.h"
#include "state/store.h"
#include "sys/files.h"
#include "sys/monitor.h"

namespace weir {

class ApiSource;

// The node agent: the parts of docs/architecture.md and the wires between them. One thread runs all
// but the sweep, which waits for the kernel on a thread of its own.
class Agent final : public Sink, public EndpointSink, public api::Backend {
 public:
  explicit Agent(AgentOptions options);
  ~Agent() override;

  // Everything up to serving: returns when pods can be added, or why they cannot.
  Result<void> start();
  // Serves until stop().
  void run() { loop_.run(); }
  void stop() { loop_.stop(); }
  boost::asio::io_context& loop() { return loop_; }

  // Sink: what the source of objects says.
  void change(Change change) override;
  void synced() override;
  void warning(std::string_view text) override;

  // EndpointSink: what the CNI side has made or is about to unmake.
  Result<void> publish(const Endpoint& endpoint) override;
  Result<void> retract(std::uint32_t handle) override;
  void released(const std::string& host_ifname) override { plane_->forget(host_ifname); }

  // api::Backend
  api::Version version() override;
  api::Status status() override;
  std::vector<api::EndpointInfo> endpoints() override;
  FlowRecorder& flows() override { return flows_; }
  void count_service_use(OnServiceUse done) override;
  std::vector<api::ServiceInfo> services(const ObjectKey& after, std::size_t most,
                                         const api::ServiceUse& use) override;
  Result<api::ServiceInfo> service(const ObjectKey& key, const api::ServiceUse& use) override;
  std::string metrics() override;
  Result<std::unique_ptr<api::Capture>> start_capture(const weir_capture_filter& filter,
                                                      OnPacket on_packet) override;

 private:
  class RunningCapture;
  using Clock = std::chrono::steady_clock;

  Result<void> check_machine() const;
  Result<void> check_cgroup() const;
  Result<void> open_source();
  Result<void> await_own_node();
  Result<void> await_all_objects();
  bool has_earlier_services() const;
  Result<void> await(const std::function<std::string()>& lacking);
  void objects_are_complete();
  void say_while_waiting();
  Result<void> listen_while_starting();
  std::string lacking_node() const;
  std::string lacking_objects() const;
  bool keeps_own_node(const Change& change);
  void apply(Change change);
  Result<void> open_network();
  Result<void> open_dataplane();
  Result<void> open_sandboxes();
  void open_services();
  Result<void> serve();
  Result<void> tell_ready();
  void warn_of_other_networks();

  // Desired state -> kernel. Cheap when nothing has changed.
  Result<void> realize();
  void realize_as_far();
  void realize_soon();
  Result<void> apply_pods();
  void look_for_gone_soon();
  Result<void> refresh_uplinks();
  Result<void> meet_services();
  std::vector<api::OtherProgram> other_programs();
  PodLinkOptions link_options() const;
  void refresh_big_tcp();
  void forget_stale_pins();
  void attach_sockets();
  void end_connections_to_gone();
  const Name* pod_behind(std::uint32_t ifindex) const;
  std::optional<ServiceName> service_of(const Flow& flow) const;
  void check_ports();
  void attach_kernel_drop();
  // Pods that there are, by name.
  std::vector<KernelDropTotal> kernel_drops();
  std::string kernel_reason(std::uint32_t reason);
  void forget_kernel_drops();

  void watch_source();
  void watch_network();
  void take_network_changes();
  bool may_change_kernel_routes(const NetworkMonitor::Change& route) const;
  void uplinks_changed_in(Clock::duration delay);
  void restore_programs();
  void ask_paths(const Entries& entries);
  void paths_changed();
  std::string node_at(const Address& address) const;
  void routes_changed_soon();
  void retry_xdp_soon();
  void watch_events();
  void poll_events(int idle_rounds);
  void on_event(std::span<const std::byte> event);
  void collect_dead_soon();

  AgentOptions options_;
  Clock::time_point started_ = Clock::now();
  boost::asio::io_context loop_{1};

  std::unique_ptr<LockFile> lock_;
  std::unique_ptr<Dataplane> plane_;
  Store store_;
  Names names_{store_};
  GonePods gone_pods_{store_, names_, options_.node};
  FlowRecorder flows_;
  std::optional<KernelReasons> kernel_reasons_;  // none: nobody has asked yet
  std::unique_ptr<Source> source_;
  ApiSource* api_source_ = nullptr;  // source_, if it is one
  std::unique_ptr<NodeWriter> node_writer_;
  std::unique_ptr<EventWriter> event_writer_;               // none: no API server
  std::unique_ptr<PodEndpointWriter> pod_endpoint_writer_;  // none: nobody reads them
  NodeLocal node_local_{store_, options_.node};
  PodSplit pod_split_;
  std::unique_ptr<ApiServers> api_servers_;  // none: no API server
  std::vector<Cidr> own_ranges_;             // of pods, as the start found them
  std::string own_node_problem_;
  bool synced_ = false;
  bool serves_before_synced_ = false;
  bool restored_ = false;  // all endpoints of earlier runs are in the store
  std::unique_ptr<Netlink> netlink_;
  std::unique_ptr<NetworkMonitor> monitor_;
  Uplinks uplinks_;
  BigTcp big_tcp_;
  XdpLinks xdp_links_;
  NodeConfig config_;
  std::vector<std::string> conflicts_;
  std::optional<std::map<Cidr, NodeRoute>> kernel_routes_;  // as last set; none: to be set
  std::unique_ptr<Sandboxes> sandboxes_;
  std::unique_ptr<ServiceFlow> services_;      // none: services are off
  std::unique_ptr<ServiceView> service_view_;  // none: services are off
  std::unique_ptr<CniServer> cni_;
  std::unique_ptr<Starting> starting_;  // what api_ shows until pods are served
  std::unique_ptr<api::Server> api_;
  std::unique_ptr<RingReader> events_;
  std::unique_ptr<Sweeper> sweeper_;
  bool capturing_ = false;

  boost::asio::posix::stream_descriptor source_ready_{loop_};
  boost::asio::posix::stream_descriptor network_ready_{loop_};
  boost::asio::posix::stream_descriptor events_ready_{loop_};
  boost::asio::steady_timer realize_timer_{loop_};
  boost::asio::steady_timer gone_timer_{loop_};
  boost::asio::steady_timer waiting_timer_{loop_};
  boost::asio::steady_timer routes_timer_{loop_};
  boost::asio::steady_timer xdp_timer_{loop_};
  boost::asio::steady_timer uplinks_timer_{loop_};
  boost::asio::steady_timer events_timer_{loop_};
  boost::asio::steady_timer dead_timer_{loop_};
  bool realize_pending_ = false;
  bool gone_pending_ = false;
  bool routes_pending_ = false;
  bool xdp_pending_ = false;
  bool uplinks_pending_ = false;
  std::vector<std::string> warnings_;  // of the start
  std::vector<std::string> realize_errors_;
  PathProber path_prober_{loop_, [this] { paths_changed(); }};
  std::vector<std::string> path_notes_;
  std::string sockets_cgroup_;    // empty: no programs are on its sockets
  std::string uplinks_problem_;   // the tables are of the last time that it went well
  std::string programs_problem_;  // why some are not attached as they should
  std::string programs_note_;     // of the last time that some had to be attached again
};

}  // namespace weir
