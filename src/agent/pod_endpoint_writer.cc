#include "agent/pod_endpoint_writer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "k8s/json.h"
#include "k8s/shown.h"

namespace weir {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostAtOnce = 32;
constexpr std::chrono::milliseconds kFirstRetry = 200ms;
constexpr std::chrono::milliseconds kLongestRetry = 30s;
constexpr int kNotFound = 404;
constexpr int kConflict = 409;

std::string folder_of(const ObjectKey& key) {
  return fmt::format("/apis/weir.dev/v1/namespaces/{}/podendpoints", key.namespace_);
}

std::string path_of(const ObjectKey& key) { return folder_of(key) + "/" + key.name; }

// With its Pod the API server removes it, too, should this agent not be there.
Json object_of(const PodEndpoint& endpoint, const std::string& pod_uid) {
  Json out = Json::parse(to_json(endpoint));
  out["metadata"]["ownerReferences"] = Json::array(
      {{{"apiVersion", "v1"}, {"kind", "Pod"}, {"name", endpoint.name}, {"uid", pod_uid}}});
  return out;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_at(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  const bool is_text = json.contains(at) && json[at].is_string();
  return is_text ? json[at].get<std::string>() : std::string();
}

// Of the newest sandbox: a pod's former one may still be there.
std::vector<Address> addresses_here(const Snapshot& snapshot, const ObjectKey& pod) {
  std::vector<Address> out;
  const std::string* sandbox = nullptr;
  for (auto it = snapshot.endpoints.rbegin(); it != snapshot.endpoints.rend(); ++it) {
    const Endpoint& endpoint = it->second;
    if (endpoint.pod() != pod) continue;
    if (sandbox != nullptr && *sandbox != endpoint.container_id) break;
    sandbox = &endpoint.container_id;
    out.insert(out.begin(), endpoint.addresses.begin(), endpoint.addresses.end());
  }
  return out;
}

// None: the others need not know of it, or it is none of this node's.
std::optional<PodEndpoint> wanted_of(const Snapshot& snapshot, const ObjectKey& key) {
  const auto row = snapshot.pods.find(key);
  if (row == snapshot.pods.end()) return std::nullopt;
  Pod pod = row->second;
  if (!pod.host_network) pod.addresses = addresses_here(snapshot, key);
  auto out = pod_endpoint_of(pod);
  if (out) out->leaving = false;
  return out;
}

}  // namespace

PodEndpointWriter::PodEndpointWriter(Store& store, std::string node, HttpClient& client,
                                     Poller& poller)
    : store_(store),
      node_(std::move(node)),
      client_(client),
      poller_(poller),
      random_(std::random_device()()) {
  store.listen([this](const StoreChange& change) {
    if (const auto* pod = std::get_if<RowChange<Pod>>(&change)) {
      look_at((pod->after != nullptr ? pod->after : pod->before)->key());
    }
    if (const auto* endpoint = std::get_if<RowChange<Endpoint>>(&change)) {
      look_at((endpoint->after != nullptr ? endpoint->after : endpoint->before)->pod());
    }
  });
}

PodEndpointWriter::~PodEndpointWriter() {
  for (const auto& [key, row] : rows_) {
    client_.cancel(row.exchange);
    poller_.cancel(row.timer);
  }
}

void PodEndpointWriter::saw(const Change& change) {
  if (const auto* erase = std::get_if<Erase>(&change)) {
    const auto row = erase->kind == Kind::kPodEndpoint ? rows_.find(erase->key) : rows_.end();
    if (row == rows_.end()) return;
    row->second.there.reset();
    return settle_soon(erase->key);
  }
  const auto* endpoint = std::get_if<PodEndpoint>(&std::get<Upsert>(change).object);
  if (endpoint == nullptr) return;
  const ObjectKey key = endpoint->key();
  if (endpoint->node != node_ && !rows_.contains(key)) return;
  rows_[key].there = *endpoint;
  settle_soon(key);
}

void PodEndpointWriter::begin() {
  begun_ = true;
  for (const auto& [key, pod] : store_.snapshot().pods) look_at(key);
  for (const auto& [key, row] : rows_) due_.insert(key);
  settle_due();
}

// --- what is to be ------------------------------------------------------------------------------

void PodEndpointWriter::look_at(const ObjectKey& key) {
  if (!begun_) return;
  auto wanted = wanted_of(store_.snapshot(), key);
  auto row = rows_.find(key);
  if (row == rows_.end()) {
    if (!wanted) return;
    row = rows_.try_emplace(key).first;
  }
  if (wanted) row->second.pod_uid = store_.snapshot().pods.at(key).uid;
  row->second.wanted = std::move(wanted);
  settle_soon(key);
}

void PodEndpointWriter::settle_soon(const ObjectKey& key) {
  due_.insert(key);
  settle_due();
}

void PodEndpointWriter::settle_due() {
  while (begun_ && !due_.empty() && asking_ < kMostAtOnce) {
    const ObjectKey key = *due_.begin();
    due_.erase(due_.begin());
    settle(key);
  }
}

void PodEndpointWriter::settle(const ObjectKey& key) {
  const auto it = rows_.find(key);
  if (it == rows_.end()) return;
  Row& row = it->second;
  if (row.exchange != 0 || row.timer != 0) return;  // and is settled again after it
  if (row.wanted && !row.there) return create(row, key);
  if (row.wanted && *row.wanted != *row.there) return replace(row, key);
  if (!row.wanted && row.there && row.there->node == node_) return read(row, key);
  row.failures = 0;
  if (!row.wanted) rows_.erase(it);
  const auto fails = [](const auto& each) { return each.second.failures > 0; };
  if (std::ranges::none_of(rows_, fails)) problem_.clear();
}

// --- what is asked ------------------------------------------------------------------------------

void PodEndpointWriter::ask(Row& row, const ObjectKey& key, HttpClient::Request request,
                            Next next) {
  ++asking_;
  row.exchange = client_.start(std::move(request), {}, [this, key, next](const auto& end) {
    --asking_;
    Row& asked = rows_.at(key);
    asked.exchange = 0;
    (this->*next)(asked, key, end);
    settle_due();
  });
}

void PodEndpointWriter::create(Row& row, const ObjectKey& key) {
  HttpClient::Request request;
  request.method = "POST";
  request.path = folder_of(key);
  request.body = text_of(object_of(*row.wanted, row.pod_uid));
  request.content_type = "application/json";
  row.there = row.wanted;  // unless the answer says otherwise
  ask(row, key, std::move(request), &PodEndpointWriter::created);
}

void PodEndpointWriter::created(Row& row, const ObjectKey& key, const HttpClient::End& end) {
  if (end.good()) return settle_soon(key);
  row.there.reset();
  if (end.status != kConflict) return failed(row, key, end);
  row.there = unknown();
  settle_soon(key);
}

// Whatever is there: of one name a Pod is there once.
void PodEndpointWriter::replace(Row& row, const ObjectKey& key) {
  const Json object = object_of(*row.wanted, row.pod_uid);
  const Json patch = {{{"op", "add"},
                       {"path", "/metadata/ownerReferences"},
                       {"value", object["metadata"]["ownerReferences"]}},
                      {{"op", "add"}, {"path", "/spec"}, {"value", object["spec"]}}};
  HttpClient::Request request;
  request.method = "PATCH";
  request.path = path_of(key);
  request.body = text_of(patch);
  request.content_type = "application/json-patch+json";
  row.there = row.wanted;
  ask(row, key, std::move(request), &PodEndpointWriter::replaced);
}

void PodEndpointWriter::replaced(Row& row, const ObjectKey& key, const HttpClient::End& end) {
  if (end.good()) return settle_soon(key);
  row.there.reset();
  if (end.status == kNotFound) return settle_soon(key);
  row.there = unknown();
  failed(row, key, end);
}

// Something is there: not what is wanted, and to be looked at before it is taken away.
PodEndpoint PodEndpointWriter::unknown() const {
  PodEndpoint out;
  out.node = node_;
  return out;
}

// A pod of the same name may be on another node by now, which tells of that one.
void PodEndpointWriter::read(Row& row, const ObjectKey& key) {
  HttpClient::Request request;
  request.path = path_of(key);
  ask(row, key, std::move(request), &PodEndpointWriter::was_read);
}

void PodEndpointWriter::was_read(Row& row, const ObjectKey& key, const HttpClient::End& end) {
  if (!end.good() && end.status != kNotFound) return failed(row, key, end);
  if (row.wanted) return settle_soon(key);  // by now
  const Json found = end.good() ? Json::parse(end.body, nullptr, false) : Json();
  if (text_at(found, "/spec/node") != node_) {
    row.there.reset();
    return settle_soon(key);
  }
  const Json options = {
      {"apiVersion", "v1"},
      {"kind", "DeleteOptions"},
      {"preconditions", {{"resourceVersion", text_at(found, "/metadata/resourceVersion")}}}};
  remove(row, key, text_of(options));
}

void PodEndpointWriter::remove(Row& row, const ObjectKey& key, const std::string& body) {
  HttpClient::Request request;
  request.method = "DELETE";
  request.path = path_of(key);
  request.body = body;
  request.content_type = "application/json";
  ask(row, key, std::move(request), &PodEndpointWriter::removed);
}

void PodEndpointWriter::removed(Row& row, const ObjectKey& key, const HttpClient::End& end) {
  if (end.status == kConflict) return settle_soon(key);
  if (!end.good() && end.status != kNotFound) return failed(row, key, end);
  row.there.reset();
  settle_soon(key);
}

void PodEndpointWriter::failed(Row& row, const ObjectKey& key, const HttpClient::End& end) {
  const bool leaves = end.body.find("because it is being terminated") != std::string::npos;
  std::string why = end.error;
  if (end.status == 403 && !leaves) {
    why =
        "missing permission to get, create, patch and delete podendpoints.weir.dev: grant it by "
        "the ClusterRole of deploy/cni/weir-cni.yaml";
  } else if (end.status != 0) {
    why = fmt::format("the API server answers {}: {}", end.status, k8s::shown(end.body, 300));
  }
  std::string text = fmt::format("other nodes do not hear of pod {}: {}", key.to_string(), why);
  if (problem_.empty() && !leaves) {
    spdlog::warn("{}", text);
    problem_ = std::move(text);
  }
  const auto wait = std::min(kFirstRetry * (1L << std::min(row.failures, 16)), kLongestRetry);
  ++row.failures;
  std::uniform_int_distribution<std::int64_t> spread(wait.count() / 2, wait.count() * 3 / 2);
  row.timer = poller_.after(std::chrono::milliseconds(spread(random_)), [this, key] {
    rows_.at(key).timer = 0;
    settle_soon(key);
  });
}

}  // namespace weir
