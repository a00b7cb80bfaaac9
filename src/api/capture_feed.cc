// Packets of a capture -> pcapng for one reader, within the bounds of the request.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>

#include "api/feed.h"
#include "observe/capture_writer.h"
#include "observe/frame.h"

namespace weir::api {
namespace {

using Clock = std::chrono::steady_clock;

std::uint16_t big_endian(std::uint16_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(value) : value;
}

void copy_address(const std::optional<Address>& address, weir_addr& out) {
  if (address) std::memcpy(&out, address->bytes().data(), sizeof out);
}

const EndpointInfo* find_pod(const std::vector<EndpointInfo>& endpoints, const ObjectKey& pod) {
  const auto found = std::ranges::find_if(endpoints, [&](const EndpointInfo& endpoint) {
    return endpoint.namespace_ == pod.namespace_ && endpoint.pod == pod.name;
  });
  return found == endpoints.end() ? nullptr : &*found;
}

// A pod is one end by its addresses; an address given beside it is the other end.
Result<void> take_pod(const CaptureRequest& request, const std::vector<EndpointInfo>& endpoints,
                      weir_capture_filter& filter) {
  const EndpointInfo* endpoint = find_pod(endpoints, *request.pod);
  if (endpoint == nullptr) {
    return Error(Code::kNotFound,
                 fmt::format("pod: no pod {} on this node", request.pod->to_string()));
  }
  if (request.address && request.peer) {
    return Error(Code::kInvalid, "peer: pod and address are two ends already");
  }
  filter.peer = filter.addr;
  copy_address(request.peer, filter.peer);
  weir_addr* ends[] = {&filter.addr, &filter.addr_other};
  for (std::size_t i = 0; i < std::size(ends) && i < endpoint->addresses.size(); ++i) {
    WEIR_ASSIGN(const Address address, Address::parse(endpoint->addresses[i]));
    copy_address(address, *ends[i]);
  }
  return {};
}

// What the kernel can tell; matches_port is the rest.
Result<weir_capture_filter> filter_of(const CaptureRequest& request,
                                      const std::vector<EndpointInfo>& endpoints) {
  weir_capture_filter filter{};
  copy_address(request.address, filter.addr);
  copy_address(request.peer, filter.peer);
  if (!request.port_of_any) {
    filter.port = big_endian(request.port);
    filter.peer_port = big_endian(request.peer_port);
  }
  filter.proto = request.protocol;
  filter.enabled = 1;
  filter.snap = request.snap;
  if (request.pod) WEIR_TRY(take_pod(request, endpoints, filter));
  return filter;
}

bool matches_port(std::uint16_t port, std::span<const std::byte> record) {
  const auto captured = split_captured(record);
  const auto tuple = captured ? parse_frame(captured->frame) : std::nullopt;
  return tuple && (tuple->source_port == port || tuple->destination_port == port);
}

CaptureWriter::LinkName link_names(const std::vector<EndpointInfo>& endpoints,
                                   const std::vector<Device>& devices) {
  std::map<std::uint32_t, std::string> names;
  for (const Device& device : devices) names[device.ifindex] = device.name;
  for (const EndpointInfo& endpoint : endpoints) {
    names[endpoint.ifindex] = endpoint.namespace_ + "/" + endpoint.pod;
  }
  return [names = std::move(names)](std::uint32_t ifindex) {
    const auto found = names.find(ifindex);
    return found == names.end() ? fmt::format("link {}", ifindex) : found->second;
  };
}

CaptureWriter::EndName end_names(FlowRecorder& flows) {
  return [&flows](const Address& address) -> std::string {
    const auto name = flows.name(address);
    if (name->kind == NameKind::kPod) return name->namespace_ + "/" + name->pod;
    return name->kind == NameKind::kNode ? "node " + name->node : std::string();
  };
}

class CaptureFeed : public Feed {
 public:
  CaptureFeed(const CaptureRequest& request, CaptureWriter writer, std::string_view node,
              std::size_t most_bytes, std::function<void()> wake)
      : writer_(std::move(writer)),
        any_port_(request.port_of_any ? request.port : std::uint16_t{0}),
        packets_left_(request.packets),
        bytes_left_(request.bytes),
        most_bytes_(most_bytes),
        ends_(Clock::now() + std::chrono::seconds(request.seconds)),
        wake_(std::move(wake)) {
    writer_.append_start(outbox_, node);
  }

  void hold(std::unique_ptr<Capture> capture) { capture_ = std::move(capture); }

  void put(std::span<const std::byte> record) {
    if (over()) return;
    if (any_port_ != 0 && !matches_port(any_port_, record)) return;
    const bool was_waiting = waiting();
    if (outbox_.size() >= most_bytes_) {
      ++lost_;
      return;
    }
    const std::size_t before = outbox_.size();
    if (!writer_.append(record, outbox_, loss_note())) return;
    lost_ = 0;
    --packets_left_;
    bytes_left_ -= std::min<std::uint64_t>(bytes_left_, outbox_.size() - before);
    if (!was_waiting) wake_();
  }

  bool take(std::string& out) override {
    out += std::exchange(outbox_, {});
    return !over();
  }

  bool waiting() const override { return over() || !outbox_.empty(); }

  std::chrono::milliseconds time_left() const override {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(ends_ - Clock::now());
    return std::max(left, std::chrono::milliseconds(0));
  }

 private:
  bool over() const { return packets_left_ == 0 || bytes_left_ == 0 || Clock::now() >= ends_; }

  std::string loss_note() const {
    if (lost_ == 0) return {};
    return fmt::format("{} packets before this one were lost: the reader was too slow", lost_);
  }

  CaptureWriter writer_;
  std::uint16_t any_port_;  // of either end; 0: all
  std::uint64_t packets_left_;
  std::uint64_t bytes_left_;
  std::size_t most_bytes_;
  Clock::time_point ends_;
  std::function<void()> wake_;
  std::string outbox_;
  std::uint64_t lost_ = 0;
  std::unique_ptr<Capture> capture_;
};

}  // namespace

Result<std::unique_ptr<Feed>> open_capture_feed(Backend& backend, const CaptureRequest& request,
                                                std::size_t most_bytes,
                                                std::function<void()> wake) {
  const auto endpoints = backend.endpoints();
  WEIR_ASSIGN(const auto filter, filter_of(request, endpoints));
  CaptureWriter writer(link_names(endpoints, backend.status().devices), end_names(backend.flows()));
  auto feed = std::make_unique<CaptureFeed>(request, std::move(writer), backend.version().node,
                                            most_bytes, std::move(wake));
  WEIR_ASSIGN(auto capture,
              backend.start_capture(filter, [raw = feed.get()](auto record) { raw->put(record); }));
  feed->hold(std::move(capture));
  return feed;
}

}  // namespace weir::api
