#include "k8s/api_source.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <ranges>
#include <unordered_set>
#include <utility>

namespace weir {
namespace {

constexpr HttpClient::Duration kVersionPatience{5000};

// What others serve or nobody needs is left out by the server: Services of other proxies, slices of
// headless Services, pods that have ended.
std::vector<Resource> resources_of(const std::string& node) {
  const std::string of_node = node.empty() ? "" : "spec.nodeName%3D" + node + "%2C";
  std::vector<Resource> out = {
      // Each kubelet reports every five minutes at least, and rarely says anything new.
      {Kind::kNode, "/api/v1/nodes", "", /*rests=*/true},
      {Kind::kNamespace, "/api/v1/namespaces", ""},
      {Kind::kPod, "/api/v1/pods",
       "fieldSelector=" + of_node + "status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"},
      {Kind::kService, "/api/v1/services",
       "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name"},
      {Kind::kEndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices",
       "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name"
       "%2C%21service.kubernetes.io%2Fheadless"},
  };
  if (!node.empty()) out.push_back({Kind::kPodEndpoint, "/apis/weir.dev/v1/podendpoints", ""});
  return out;
}

// Servers from 1.34 on have lists of before in memory (ListFromCacheSnapshot): pages of one cost
// them half of what a streamed list does. For others each page is a question to etcd.
bool has_lists_in_memory(const std::string& version) {
  constexpr int kMajor = 1;
  constexpr int kMinor = 34;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view major;
  std::string_view minor;
  if (parser.parse(version).get(root) != simdjson::SUCCESS ||
      root["major"].get(major) != simdjson::SUCCESS ||
      root["minor"].get(minor) != simdjson::SUCCESS) {
    return false;
  }
  const auto number = [](std::string_view text) {  // "34", "34+"
    int out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
  };
  return number(major) == kMajor && number(minor) >= kMinor;
}

}  // namespace

class ApiSource::Filter final : public Sink {
 public:
  explicit Filter(Sink& sink) : sink_(sink) {}

  void change(Change change) override { sink_.change(std::move(change)); }
  void synced() override { sink_.synced(); }
  // An object brings its note with each of its changes.
  void warning(std::string_view text) override {
    constexpr std::size_t kMost = 1000;
    if (said_.size() >= kMost) said_.clear();
    if (said_.emplace(text).second) sink_.warning(text);
  }
  void trouble(std::string_view text) { sink_.warning(text); }

 private:
  Sink& sink_;
  std::unordered_set<std::string> said_;
};

ApiSource::ApiSource(std::unique_ptr<Poller> poller, std::string node, ReflectorPace pace)
    : node_(std::move(node)), pace_(pace), poller_(std::move(poller)) {}

ApiSource::~ApiSource() = default;

Result<std::unique_ptr<ApiSource>> ApiSource::open(ApiAccess access, std::string node,
                                                   ReflectorPace pace) {
  WEIR_ASSIGN(auto poller, Poller::open());
  std::unique_ptr<ApiSource> source(new ApiSource(std::move(poller), std::move(node), pace));
  WEIR_ASSIGN(source->client_, HttpClient::open(std::move(access), *source->poller_));
  return source;
}

Result<void> ApiSource::start(Sink& sink) {
  filter_ = std::make_unique<Filter>(sink);
  for (Resource& resource : resources_of(node_)) {
    const std::size_t index = reflectors_.size();
    Reflector::Owner owner{.synced = [this] { one_synced(); },
                           .trouble = [this, index] { tell_trouble(index); }};
    reflectors_.push_back(std::make_unique<Reflector>(std::move(resource), *client_, *poller_,
                                                      *filter_, std::move(owner), pace_));
  }
  HttpClient::Request version;
  version.path = "/version";
  version.timeout = kVersionPatience;
  client_->start(std::move(version), {}, [this](const HttpClient::End& end) {
    const bool by_pages = end.good() && has_lists_in_memory(end.body);
    for (const auto& reflector : reflectors_) {
      if (by_pages) reflector->list_by_pages();
      reflector->start();
    }
  });
  return {};
}

void ApiSource::one_synced() {
  if (++synced_ == reflectors_.size()) filter_->synced();
}

// A server that is away is the same trouble for all.
void ApiSource::tell_trouble(std::size_t index) {
  const std::string& text = reflectors_[index]->problem();
  const auto same = [&text](const auto& other) { return other->problem() == text; };
  if (std::ranges::count_if(reflectors_, same) == 1) filter_->trouble(text);
}

bool ApiSource::has_all(Kind kind) const {
  return std::ranges::any_of(reflectors_, [kind](const auto& reflector) {
    return reflector->kind() == kind && reflector->synced();
  });
}

std::vector<std::string> ApiSource::problems() const {
  std::vector<std::string> out;
  for (const auto& reflector : reflectors_) {
    const std::string& text = reflector->problem();
    if (!text.empty() && std::ranges::find(out, text) == out.end()) out.push_back(text);
  }
  return out;
}

}  // namespace weir
