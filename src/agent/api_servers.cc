#include "agent/api_servers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "k8s/api_access.h"
#include "sys/files.h"

namespace weir {
namespace {

const ObjectKey kService{"default", "kubernetes"};

std::vector<std::string> urls_of(const EndpointSlice& slice) {
  std::vector<std::string> out;
  for (const SlicePort& port : slice.ports) {
    if (port.port == 0 || port.protocol != Protocol::kTcp) continue;
    for (const SliceEndpoint& endpoint : slice.endpoints) {
      if (endpoint.addresses.empty() || !endpoint.ready) continue;
      const Address& address = endpoint.addresses.front();
      const char* form = address.is_v4() ? "https://{}:{}" : "https://[{}]:{}";
      out.push_back(fmt::format(fmt::runtime(form), address.to_string(), port.port));
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> ApiServers::remembered(const std::string& path) {
  return parse(read_file(path).value_or(""));
}

std::vector<std::string> ApiServers::parse(const std::string& text) {
  std::istringstream words(text);
  std::vector<std::string> out;
  for (std::string word; words >> word;) {
    if (check_server_url(word)) out.push_back(word);
  }
  return out;
}

bool ApiServers::others_serve(const ObjectKey& key) const {
  return std::ranges::any_of(
      urls_, [&key](const auto& one) { return one.first != key && !one.second.empty(); });
}

std::vector<Change> ApiServers::take(Change change) {
  const auto* erase = std::get_if<Erase>(&change);
  if (erase != nullptr) {
    const auto known = urls_.find(erase->key);
    if (erase->kind != Kind::kEndpointSlice || known == urls_.end()) return {std::move(change)};
    if (!known->second.empty() && !others_serve(erase->key)) {
      gone_.push_back(erase->key);
      return {};
    }
    urls_.erase(known);
    keep();
    return {std::move(change)};
  }
  const auto* slice = std::get_if<EndpointSlice>(&std::get<Upsert>(change).object);
  if (slice == nullptr || slice->service_key() != kService) return {std::move(change)};
  const ObjectKey key = slice->key();
  auto urls = urls_of(*slice);
  const auto known = urls_.find(key);
  const bool served = known != urls_.end() && !known->second.empty();
  if (urls.empty() && served && !others_serve(key)) return {};
  std::erase(gone_, key);
  urls_[key] = std::move(urls);
  std::vector<Change> out = {std::move(change)};
  if (!urls_[key].empty()) {
    for (const ObjectKey& old : gone_) {
      urls_.erase(old);
      out.emplace_back(Erase{Kind::kEndpointSlice, old});
    }
    gone_.clear();
  }
  keep();
  return out;
}

void ApiServers::keep() {
  std::set<std::string> all;
  for (const auto& [key, urls] : urls_) all.insert(urls.begin(), urls.end());
  std::vector<std::string> now(all.begin(), all.end());
  if (now.empty() || now == kept_) return;
  const auto written = write_file_atomic(path_, fmt::format("{}\n", fmt::join(now, "\n")));
  problem_ = written ? "" : written.error().text();
  if (written) kept_ = std::move(now);
}

}  // namespace weir
