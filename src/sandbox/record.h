#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/endpoint.h"
#include "sandbox/cni_request.h"

namespace weir {

// What STATE/sandboxes/ keeps of one attachment. Written before ADD answers, removed when its link
// is gone.
struct Record {
  std::string network;
  Endpoint endpoint;
  std::uint32_t mtu = 0;  // the link's: the node's may have changed since
  bool deleting = false;  // DEL has begun

  cni::AttachmentId id() const { return {endpoint.container_id, endpoint.ifname}; }
  friend bool operator==(const Record&, const Record&) = default;
};

// ':' is in neither part, so names cannot collide.
std::string record_file_name(const cni::AttachmentId& id);
std::string encode_record(const Record& record);
Result<Record> decode_record(std::string_view text);

// Host side of the pod's link: "weir" and 11 characters that depend on the attachment only.
std::string host_link_name(const cni::AttachmentId& id);
bool is_host_link_name(std::string_view name);

}  // namespace weir
