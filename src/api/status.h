#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// What an agent says of itself; JSON of /v1/status, /v1/endpoints and /v1/version, both ways.
namespace weir::api {

struct Device {
  std::string name;
  std::uint32_t ifindex = 0;
  std::uint32_t mtu = 0;
  std::string role;  // "uplink", "tunnel"
  std::string xdp;   // "native"; or why not; empty: nobody asked for it
};

// On a link where Weir has programs, too.
struct OtherProgram {
  std::string link;
  std::string direction;  // "ingress", "egress", as the link sees it
  std::string attach;     // "tcx", "clsact"
  std::string name;       // of the program, or the kind of filter that it is
  std::string order;      // "before", "after" Weir's
};

struct Pool {
  std::string cidr;
  std::uint64_t size = 0;  // addresses that pods can get
  std::uint64_t used = 0;
  std::uint64_t resting = 0;  // freed, not to be given out again yet
};

struct MapStatus {
  std::string name;
  std::uint64_t entries = 0;
  std::uint64_t capacity = 0;
};

struct PodDrops {
  std::string pod;  // NAMESPACE/POD
  std::uint64_t packets = 0;
};

struct DropTotal {
  std::string reason;  // SPOOFED; hook kernel: as the kernel calls it
  std::uint64_t packets = 0;
  std::vector<PodDrops> pods;  // hook kernel: of this node's pods that there are
};

// packets_in = forwarded + to_stack + the drops.
struct HookTotals {
  std::string hook;
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t forwarded = 0;
  std::uint64_t to_stack = 0;
  std::vector<DropTotal> drops;
};

struct Status {
  std::string node;
  std::string waiting_for;  // before pods are served, and nothing below is known; empty: served
  std::string version;
  std::string build_id;  // of the BPF programs
  std::uint64_t uptime_seconds = 0;
  std::string kernel;
  std::string attach;         // "tcx", "clsact"
  std::string attach_reason;  // empty: it is the usual way
  std::string tunnel;         // "vxlan 8472", "none"
  bool adopted = false;       // the programs were there already; else they were loaded at the start
  std::uint32_t pod_mtu = 0;
  std::uint32_t gso_max_size = 0;  // of pods' links: bytes at once
  std::string gso_limit;           // why no BIG TCP, or less of it; empty: nothing forbids it
  std::vector<Device> devices;
  std::vector<OtherProgram> other_programs;
  std::vector<Pool> pools;
  std::vector<MapStatus> maps;
  std::uint64_t connections = 0;
  std::uint64_t events_lost = 0;
  std::uint64_t endpoints = 0;
  std::vector<HookTotals> hooks;
  std::vector<std::string> warnings;
};

struct EndpointInfo {
  std::string namespace_;
  std::string pod;
  std::string workload;
  std::string node;
  std::vector<std::string> addresses;
  std::string interface;  // host side of the pod's link
  std::uint32_t ifindex = 0;
  std::string mac;  // pod side
  std::string container_id;
};

struct Version {
  std::string version;
  std::string build_id;
  std::string node;
};

// One document each, without a line end.
std::string to_json(const Status& status);
std::string to_json(const std::vector<EndpointInfo>& endpoints);
std::string to_json(const Version& version);
std::string error_json(std::string_view text);

// kInvalid when the text is not what to_json gives.
Result<Status> parse_status(std::string_view json);
Result<std::vector<EndpointInfo>> parse_endpoints(std::string_view json);
Result<Version> parse_version(std::string_view json);
// The text of an error document, or the whole text when it is none.
std::string parse_error_text(std::string_view json);

}  // namespace weir::api
