// How pods become known to other nodes, on a real API server. Stands in for the agents of nodes
// that kwok makes: tells of their pods by PodEndpoints as soon as they have an address. Beside that
// it follows PodEndpoints as an agent does, and takes the time between a pod's address at the API
// server and its PodEndpoint here. Each line on standard input is answered by a JSON line, of what
// happened since:
//   {"pods":N,"endpoints":N,"told":N,"refused":N,"lags":[ms, ...]}
//   pod_feed --kubeconfig FILE [--fake PREFIX]     PREFIX: of the names of kwok's nodes

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "k8s/api_access.h"
#include "k8s/http_client.h"
#include "k8s/json.h"
#include "k8s/reflector.h"

namespace {

using namespace weir;
using Clock = std::chrono::steady_clock;

// One resource, on a connection of its own.
class Watch final : public Sink {
 public:
  using OnChange = std::function<void(const Change&)>;

  Watch(const ApiAccess& access, Poller& poller, Resource resource, OnChange on_change)
      : on_change_(std::move(on_change)) {
    auto client = HttpClient::open(access, poller);
    if (!client) {
      std::fprintf(stderr, "%s\n", client.error().text().c_str());
      std::exit(1);
    }
    client_ = std::move(*client);
    reflector_ = std::make_unique<Reflector>(
        std::move(resource), *client_, poller, *this,
        Reflector::Owner{
            .synced = [] {},
            .trouble = [this] { std::fprintf(stderr, "%s\n", reflector_->problem().c_str()); }},
        ReflectorPace());
    reflector_->start();
  }

  void change(Change change) override { on_change_(change); }
  void synced() override {}
  void warning(std::string_view text) override {
    std::fprintf(stderr, "%s\n", std::string(text).c_str());
  }
  HttpClient& client() { return *client_; }

 private:
  OnChange on_change_;
  std::unique_ptr<HttpClient> client_;
  std::unique_ptr<Reflector> reflector_;
};

class Feed {
 public:
  Feed(const ApiAccess& access, Poller& poller, std::string fake)
      : fake_(std::move(fake)),
        writer_(access, poller, {Kind::kNamespace, "/api/v1/namespaces", ""}, [](const Change&) {}),
        feed_(access, poller, {Kind::kPodEndpoint, "/apis/weir.dev/v1/podendpoints", ""},
              [this](const Change& change) { hears(change); }),
        whole_(access, poller, {Kind::kPod, "/api/v1/pods", ""},
               [this](const Change& change) { sees(change); }) {}

  void report() {
    std::vector<double> lags;
    for (const auto& lag : std::exchange(lags_, {})) {
      lags.push_back(std::chrono::duration<double, std::milli>(lag).count());
    }
    fmt::print(R"({{"pods":{},"endpoints":{},"told":{},"refused":{},"lags":[{:.2f}]}})"
               "\n",
               pods_.size(), known_.size(), std::exchange(told_, 0), std::exchange(refused_, 0),
               fmt::join(lags, ","));
    std::fflush(stdout);
  }

 private:
  static constexpr std::size_t kMostAtOnce = 64;

  void sees(const Change& change) {
    if (const auto* erase = std::get_if<Erase>(&change)) {
      if (pods_.erase(erase->key) > 0) gone(erase->key);
      return;
    }
    const auto* pod = std::get_if<Pod>(&std::get<Upsert>(change).object);
    auto endpoint = pod_endpoint_of(*pod);
    if (!endpoint || pod->host_network || pod->uid.empty()) return;
    if (!pods_.insert(pod->key()).second) return;
    pod_came_ = true;
    met(pod->key());
    if (pod->node.starts_with(fake_)) create(*endpoint, pod->uid);
  }
  void hears(const Change& change) {
    if (const auto* erase = std::get_if<Erase>(&change)) {
      known_.erase(erase->key);
      return;
    }
    const ObjectKey key = key_of(std::get<Upsert>(change).object);
    if (!known_.insert(key).second) return;
    pod_came_ = false;
    met(key);
  }
  // Negative: the PodEndpoint came first.
  void met(const ObjectKey& key) {
    if (!pods_.contains(key) || !known_.contains(key)) {
      first_[key] = Clock::now();
      return;
    }
    const auto first = first_.find(key);
    if (first == first_.end()) return;
    const auto between = Clock::now() - first->second;
    lags_.push_back(pod_came_ ? -between : between);
    first_.erase(first);
  }

  void create(const PodEndpoint& endpoint, const std::string& uid) {
    std::string body = to_json(endpoint);
    const std::string owner = fmt::format(
        R"("ownerReferences":[{{"apiVersion":"v1","kind":"Pod","name":"{}","uid":"{}"}}],)",
        endpoint.name, uid);
    const std::string metadata = "\"metadata\": {";
    body.insert(body.find(metadata) + metadata.size(), owner);
    HttpClient::Request request;
    request.method = "POST";
    request.path = folder(endpoint.key());
    request.body = std::move(body);
    request.content_type = "application/json";
    ask(std::move(request));
  }
  void gone(const ObjectKey& key) {
    first_.erase(key);
    HttpClient::Request request;
    request.method = "DELETE";
    request.path = folder(key) + "/" + key.name;
    ask(std::move(request));
  }
  static std::string folder(const ObjectKey& key) {
    return fmt::format("/apis/weir.dev/v1/namespaces/{}/podendpoints", key.namespace_);
  }
  void ask(HttpClient::Request request) {
    waiting_.push_back(std::move(request));
    pump();
  }
  void pump() {
    for (; asking_ < kMostAtOnce && !waiting_.empty(); waiting_.pop_front()) {
      ++asking_;
      writer_.client().start(std::move(waiting_.front()), {}, [this](const HttpClient::End& end) {
        --asking_;
        const bool was_there = end.status == 404 || end.status == 409;
        ++(end.good() || was_there ? told_ : refused_);
        if (!end.good() && !was_there) {
          std::fprintf(stderr, "%d %s %.200s\n", end.status, end.error.c_str(), end.body.c_str());
        }
        pump();
      });
    }
  }

  std::string fake_;
  std::set<ObjectKey> pods_;   // with an address
  std::set<ObjectKey> known_;  // PodEndpoints
  std::map<ObjectKey, Clock::time_point> first_;
  std::vector<Clock::duration> lags_;
  bool pod_came_ = false;  // of two, just now
  std::deque<HttpClient::Request> waiting_;
  std::size_t asking_ = 0;
  std::uint64_t told_ = 0;
  std::uint64_t refused_ = 0;
  Watch writer_;
  Watch feed_;
  Watch whole_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string kubeconfig;
  std::string fake = "kwok-";
  CLI::App app{"what pods cost to know", "pod_feed"};
  app.add_option("--kubeconfig", kubeconfig)->required();
  app.add_option("--fake", fake);
  CLI11_PARSE(app, argc, argv);
  const auto access = read_kubeconfig(kubeconfig);
  auto poller = Poller::open();
  if (!access || !poller) {
    std::fprintf(stderr, "%s\n", (!access ? access.error() : poller.error()).text().c_str());
    return 1;
  }
  Feed feed(*access, **poller, fake);
  for (;;) {
    pollfd waiting[] = {{.fd = (*poller)->fd(), .events = POLLIN, .revents = 0},
                        {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}};
    if (poll(waiting, 2, -1) < 0) return 1;
    char line[64];
    if (waiting[1].revents != 0) {
      if (read(STDIN_FILENO, line, sizeof line) <= 0) return 0;
      feed.report();
    }
    (*poller)->dispatch();
  }
}
