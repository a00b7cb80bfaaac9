#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "model/endpoint.h"
#include "sandbox/cni_rules.h"

namespace weir::cni {

// An error as the CNI specification gives it.
struct Failure {
  int code = kInternalError;
  std::string message;
  std::string details;
};

enum class Command { kAdd, kDel, kCheck, kGc, kStatus };

struct AttachmentId {
  std::string container_id;
  std::string ifname;

  // "<container>/<ifname>": owner of addresses.
  std::string owner() const { return container_id + "/" + ifname; }
  friend auto operator<=>(const AttachmentId&, const AttachmentId&) = default;
};

struct Request {
  Command command = Command::kStatus;
  std::string version;
  std::string network;  // the configuration's name
  AttachmentId id;      // not for GC, STATUS
  std::string netns;    // DEL: may be empty
  std::string pod_namespace;
  std::string pod_name;
  std::string pod_uid;
  std::vector<Address> requested;      // at most one of a family
  std::vector<HostPort> ports;         // ADD
  Bandwidth ingress;                   // ADD
  Bandwidth egress;                    // ADD
  std::string previous;                // prevResult as JSON; empty: none
  std::vector<AttachmentId> attached;  // GC: all others go
};

struct ParsedRequest {
  // The version to answer in, known even when the rest is not.
  std::string answer_version{kNewestVersion};
  std::optional<Request> request;
  Failure failure;  // when there is no request
};

// One document from the socket or the spool.
ParsedRequest parse_request(std::string_view document);

// Answers on the socket.
std::string success_answer(std::string_view result_json);
std::string failure_answer(const std::string& version, const Failure& failure);

}  // namespace weir::cni
