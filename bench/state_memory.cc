// What Services, endpoints and other nodes' pods cost in the agent's tables: a generator's objects,
// as JSON, are read into a Store with Names beside it; PodEndpoints by way of a Mirror. One JSON
// line; bytes are of the heap, rss of the process.
//   state_memory [SERVICES [ENDPOINTS [PODS]]]    default 100000 Services of 5 endpoints, 30000
//   pods

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "k8s/mirror.h"
#include "k8s/object.h"
#include "state/names.h"

namespace {

using namespace weir;

constexpr std::uint32_t kNodes = 1000;
constexpr std::uint32_t kPerSlice = 100;

std::uint64_t heap() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

std::uint64_t rss() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void put(Store& store, const std::string& json) {
  auto object = parse_object(json);
  if (!object) {
    std::cerr << object.error().text() << "\n";
    std::exit(1);
  }
  store.upsert(std::move(*object));
}

std::string service_json(std::uint32_t i) {
  return fmt::format(
      R"({{"kind":"Service","metadata":{{"name":"service-{0:06}","namespace":"shop-{1}",
      "creationTimestamp":"2026-11-24T02:00:00Z","labels":{{"app":"service-{0:06}"}}}},
      "spec":{{"type":"ClusterIP","clusterIP":"{2}","clusterIPs":["{2}"],"ipFamilies":["IPv4"],
      "selector":{{"app":"service-{0:06}"}},
      "ports":[{{"name":"http","port":80,"targetPort":8080,"protocol":"TCP"}}]}}}})",
      i, i % 100, Address::v4(0x0a600000).plus(i + 1).to_string());
}

std::string slice_json(std::uint32_t i, std::uint32_t first, std::uint32_t count,
                       std::uint64_t address) {
  std::string endpoints;
  for (std::uint32_t e = 0; e < count; ++e) {
    const std::uint64_t node = (address + e) % kNodes;
    endpoints += fmt::format(
        R"({}{{"addresses":["{}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},
        "nodeName":"node-pool-a-{:04}","zone":"europe-west1-{}",
        "targetRef":{{"kind":"Pod","namespace":"shop-{}","name":"service-{:06}-5d9f7c6b8-{:05}"}}}})",
        e == 0 ? "" : ",", Address::v4(0x0b000000).plus(address + e).to_string(), node, node % 3,
        i % 100, i, first + e);
  }
  return fmt::format(
      R"({{"kind":"EndpointSlice","addressType":"IPv4","metadata":{{"name":"service-{0:06}-{1:05}",
      "namespace":"shop-{2}","labels":{{"kubernetes.io/service-name":"service-{0:06}"}}}},
      "ports":[{{"name":"http","port":8080,"protocol":"TCP"}}],"endpoints":[{3}]}})",
      i, first / kPerSlice, i % 100, endpoints);
}

class ToStore final : public Sink {
 public:
  explicit ToStore(Store& store) : store_(store) {}
  void change(Change change) override { store_.apply(std::move(change)); }
  void synced() override {}
  void warning(std::string_view text) override {
    std::cerr << text << "\n";
    std::exit(1);
  }

 private:
  Store& store_;
};

// As a watch tells it, of both families.
std::string pod_event(std::uint32_t i) {
  return fmt::format(
      R"({{"type":"ADDED","object":{{"apiVersion":"weir.dev/v1","kind":"PodEndpoint",)"
      R"("metadata":{{"name":"service-{0:06}-5d9f7c6b8-{1:05}","namespace":"shop-{2}",)"
      R"("resourceVersion":"{3}"}},"spec":{{"node":"node-pool-a-{4:04}","workload":"service-{0:06}",)"
      R"("addresses":["{5}","fd00:244::{6:x}:{7:x}"],"labels":{{"app.kubernetes.io/name":"service-{0:06}",)"
      R"("app.kubernetes.io/instance":"service-{0:06}","app.kubernetes.io/version":"1.4.2",)"
      R"("app.kubernetes.io/part-of":"shop","pod-template-hash":"5d9f7c6b8"}}}}}}}})"
      "\n",
      i / 20, i, i / 20 % 100, 1000 + i, i % kNodes, Address::v4(0x0b000000).plus(i).to_string(),
      i >> 16, i & 0xffff);
}

void put_pods(Mirror& mirror, std::uint32_t pods) {
  mirror.begin_list();
  mirror.begin_stream();
  for (std::uint32_t i = 0; i < pods; ++i) {
    if (auto taken = mirror.take(pod_event(i)); !taken) {
      std::cerr << taken.error().text() << "\n";
      std::exit(1);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto services = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 100000);
  const auto endpoints = static_cast<std::uint32_t>(argc > 2 ? std::atoi(argv[2]) : 5);
  const auto pods = static_cast<std::uint32_t>(argc > 3 ? std::atoi(argv[3]) : 30000);
  Store store;
  const Names names(store);
  const std::uint64_t rss_empty = rss();
  const std::uint64_t heap_empty = heap();
  for (std::uint32_t i = 0; i < services; ++i) put(store, service_json(i));
  const std::uint64_t heap_services = heap();
  std::uint64_t address = 0;
  for (std::uint32_t i = 0; i < services; ++i) {
    for (std::uint32_t first = 0; first < endpoints; first += kPerSlice) {
      const std::uint32_t count = std::min(kPerSlice, endpoints - first);
      put(store, slice_json(i, first, count, address));
      address += count;
    }
  }
  const std::uint64_t heap_all = heap();
  ToStore to_store(store);
  Mirror mirror(Kind::kPodEndpoint, to_store);
  put_pods(mirror, pods);
  const std::uint64_t heap_pods = heap();
  std::cout << fmt::format(
      R"({{"services":{},"endpoints":{},"heap_per_service":{},"heap_per_endpoint":{},)"
      R"("pods":{},"heap_per_pod":{},)"
      R"("sizeof_service":{},"sizeof_slice":{},"sizeof_endpoint":{},"rss_mb":{:.1f},)"
      R"("rss_over_empty_mb":{:.1f}}})"
      "\n",
      services, address, services == 0 ? 0 : (heap_services - heap_empty) / services,
      address == 0 ? 0 : (heap_all - heap_services) / address, pods,
      pods == 0 ? 0 : (heap_pods - heap_all) / pods, sizeof(Service), sizeof(EndpointSlice),
      sizeof(SliceEndpoint), static_cast<double>(rss()) / 1e6,
      static_cast<double>(rss() - rss_empty) / 1e6);
}
