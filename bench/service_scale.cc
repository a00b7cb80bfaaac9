// Services from the store into the kernel's pinned maps, as the agent brings them there: time and
// memory of many, and how long one change takes. Needs root. One JSON line.
//   service_scale full [SERVICES [ENDPOINTS]]             default 100000 Services of 5 endpoints
//   service_scale change [SERVICES [RATE [SECONDS]]]      default 10000, 100 changes a second, 20 s

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include "agent/services.h"
#include "k8s/object.h"
#include "state/names.h"

namespace {

using namespace weir;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

template <typename T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text());
  return std::move(*result);
}

// Of the calling thread.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Memory {
  double total_mb = 0, anonymous_mb = 0, file_mb = 0;
};

Memory memory() {
  Memory out;
  std::ifstream file("/proc/self/status");
  std::string name;
  double kb = 0;
  while (file >> name) {
    if (name == "VmRSS:" && file >> kb) out.total_mb = kb * 1.024e-3;
    if (name == "RssAnon:" && file >> kb) out.anonymous_mb = kb * 1.024e-3;
    if (name == "RssFile:" && file >> kb) out.file_mb = kb * 1.024e-3;
    file.ignore(4096, '\n');
  }
  return out;
}

// --- the generator -------------------------------------------------------------------------------

constexpr std::uint32_t kNodes = 1000;
constexpr std::uint64_t kOthers = 50'000'000;  // addresses that no Service begins with

Object service(std::uint32_t i) {
  Service out;
  out.namespace_ = fmt::format("shop-{}", i % 100);
  out.name = fmt::format("service-{:06}", i);
  out.created = 1'790'000'000;
  out.selector = {{"app", out.name}};
  ServicePort port;
  port.name = "http";
  port.port = 80;
  port.target.number = 8080;
  out.ports = {port};
  out.cluster_ips = {Address::v4(0x0a600000).plus(i + 1)};
  out.families = {Family::kIpv4};
  return out;
}

// version: 0, or the number of a change, which gives it another first endpoint.
Object slice(std::uint32_t i, std::uint32_t endpoints, std::uint32_t version = 0) {
  EndpointSlice out;
  out.namespace_ = fmt::format("shop-{}", i % 100);
  out.service = fmt::format("service-{:06}", i);
  out.name = out.service + "-abcde";
  SlicePort port;
  port.name = "http";
  port.port = 8080;
  out.ports = {port};
  for (std::uint32_t e = 0; e < endpoints; ++e) {
    const bool other = version != 0 && e == 0;
    const std::uint64_t n = other ? kOthers + version : std::uint64_t{i} * endpoints + e;
    SliceEndpoint one;
    one.addresses = {Address::v4(0x0b000000).plus(n)};
    one.node = fmt::format("node-pool-a-{:04}", n % kNodes);
    one.zone = fmt::format("europe-west1-{}", n % 3);
    one.pod = fmt::format("{}-5d9f7c6b8-{:05}", out.service, e);
    out.endpoints.push_back(std::move(one));
  }
  return out;
}

Object own_node() {
  Node out;
  out.name = "node-pool-a-0000";
  return out;
}

// --- a node without links ------------------------------------------------------------------------

std::string private_bpffs() {
  if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 ||
      mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    throw std::runtime_error("a mount namespace of its own: needs root");
  }
  std::string dir = "/tmp/weir-bench.XXXXXX";
  if (mkdtemp(dir.data()) == nullptr) throw std::runtime_error("mkdtemp");
  if (mount("bpf", dir.c_str(), "bpf", 0, nullptr) != 0) throw std::runtime_error("mount bpffs");
  return dir;
}

class Bed {
 public:
  ~Bed() {
    plane.reset();
    umount2(dir_.c_str(), MNT_DETACH);
    rmdir(dir_.c_str());
  }
  Bed() { open(); }
  void open() {
    plane.reset();
    plane = need(Dataplane::open(dir_ + "/weir", settings));
  }
  int map(const char* name) { return bpf_obj_get((dir_ + "/weir/maps/" + name).c_str()); }

  Settings settings;
  std::unique_ptr<Dataplane> plane;

 private:
  std::string dir_ = private_bpffs();
};

ServiceContext context() {
  ServiceContext out;
  out.node = "node-pool-a-0000";
  return out;
}

// --- many Services -------------------------------------------------------------------------------

void full(std::uint32_t services, std::uint32_t endpoints) {
  Bed bed;
  boost::asio::io_context loop;
  auto store = std::make_unique<Store>();
  auto names = std::make_unique<Names>(*store);
  const Memory empty = memory();
  store->upsert(own_node());
  auto start = Clock::now();
  for (std::uint32_t i = 0; i < services; ++i) store->upsert(service(i));
  for (std::uint32_t i = 0; i < services; ++i) store->upsert(slice(i, endpoints));
  const double stored = seconds_since(start);
  const Memory with_store = memory();
  start = Clock::now();
  auto flow = std::make_unique<ServiceFlow>(loop, *store, *bed.plane, context());
  const double tracked = seconds_since(start);
  const Memory with_tracker = memory();
  flow->start();
  const double written = seconds_since(start);
  const Memory all = memory();
  malloc_trim(0);
  const Memory trimmed = memory();
  const auto use = bed.plane->service_tables().use();
  // A restart of the agent, which has its objects.
  flow.reset();
  bed.plane.reset();
  start = Clock::now();
  bed.open();
  const double opened = seconds_since(start);
  flow = std::make_unique<ServiceFlow>(loop, *store, *bed.plane, context());
  flow->start();
  const double adopted = seconds_since(start);
  const double goal = 25 + services * 400e-6 + double(services) * endpoints * 150e-6;
  std::cout << fmt::format(
      R"({{"services":{},"endpoints":{},"rows":{},"backends":{},"store_s":{:.2f},"tracker_s":{:.2f},)"
      R"("in_kernel_s":{:.2f},"from_objects_s":{:.2f},"reopen_s":{:.3f},"readopt_s":{:.2f},)"
      R"("rss_mb":{{"empty":{:.1f},"store":{:.1f},"tracker":{:.1f},"all":{:.1f},"trimmed":{:.1f},)"
      R"("mapped":{:.1f},"goal":{:.1f}}}}})"
      "\n",
      services, std::uint64_t{services} * endpoints, use.rows, use.backends, stored, tracked,
      written, stored + written, opened, adopted, empty.total_mb, with_store.total_mb,
      with_tracker.total_mb, all.total_mb, trimmed.total_mb, trimmed.file_mb - empty.file_mb, goal);
}

// --- one change ----------------------------------------------------------------------------------

// Sees a set's word change, on a thread of its own.
class Watch {
 public:
  Watch(int map, std::size_t sets)
      : words_(static_cast<std::uint64_t*>(
            mmap(nullptr, sets * sizeof(weir_set), PROT_READ, MAP_SHARED, map, 0))) {
    if (words_ == MAP_FAILED) throw std::runtime_error("map weir_set into memory");
  }
  ~Watch() {
    stop_ = true;
    thread_.join();
  }
  void expect(std::uint32_t set) {
    const std::scoped_lock lock(mutex_);
    open_.push_back({set, word(set), Clock::now()});
  }
  std::vector<double> milliseconds() const { return done_; }
  std::size_t open() {
    const std::scoped_lock lock(mutex_);
    return open_.size();
  }

 private:
  struct Open {
    std::uint32_t set;
    std::uint64_t before;
    Clock::time_point since;
  };
  std::uint64_t word(std::uint32_t set) const { return std::atomic_ref(words_[set]).load(); }
  void look() {
    while (!stop_) {
      {
        const std::scoped_lock lock(mutex_);
        std::erase_if(open_, [this](const Open& one) {
          if (word(one.set) == one.before) return false;
          done_.push_back(seconds_since(one.since) * 1e3);
          return true;
        });
      }
      std::this_thread::sleep_for(50us);
    }
  }

  std::uint64_t* words_;
  std::mutex mutex_;
  std::vector<Open> open_;
  std::vector<double> done_;
  std::atomic<bool> stop_{false};
  std::thread thread_{[this] { look(); }};
};

std::uint32_t set_of(int rows, std::uint32_t i) {
  weir_service_key key{};
  key.vip = to_abi(Address::v4(0x0a600000).plus(i + 1));
  key.port = htons(80);
  key.proto = 6;
  weir_service row{};
  if (bpf_map_lookup_elem(rows, &key, &row) != 0) throw std::runtime_error("no such row");
  return row.set;
}

void change(std::uint32_t services, std::uint32_t rate, std::uint32_t seconds) {
  constexpr std::uint32_t kEndpoints = 5;
  Bed bed;
  boost::asio::io_context loop;
  Store store;
  Names names(store);
  store.upsert(own_node());
  for (std::uint32_t i = 0; i < services; ++i) {
    store.upsert(service(i));
    store.upsert(slice(i, kEndpoints));
  }
  ServiceFlow flow(loop, store, *bed.plane, context());
  flow.start();
  const int rows = bed.map("weir_service");
  std::vector<double> took;
  double busy = 0;
  {
    Watch watch(bed.map("weir_set"), bed.settings.service_max);
    boost::asio::steady_timer timer(loop);
    std::uint32_t done = 0;
    const auto start = Clock::now();
    const double began = cpu_seconds();
    std::function<void()> next = [&] {
      if (done == rate * seconds) return;
      timer.expires_at(start + (done + 1) * std::chrono::nanoseconds(1s) / rate);
      timer.async_wait([&](const auto&) {
        // In no order; the same Service again after `services` changes.
        const std::uint32_t i = (done * 7919U) % services;
        watch.expect(set_of(rows, i));
        store.upsert(slice(i, kEndpoints, 1 + done));
        flow.changed();
        ++done;
        next();
      });
    };
    next();
    while (done < rate * seconds || watch.open() != 0) {
      loop.restart();
      loop.run_for(10ms);
    }
    busy = (cpu_seconds() - began) / seconds_since(start);
    took = watch.milliseconds();
  }
  std::ranges::sort(took);
  const auto at = [&](double share) {
    return took.at(std::min(took.size() - 1,
                            static_cast<std::size_t>(share * static_cast<double>(took.size()))));
  };
  std::cout << fmt::format(
      R"({{"services":{},"changes":{},"per_second":{},"ms":{{"p50":{:.2f},"p90":{:.2f},)"
      R"("p99":{:.2f},"max":{:.2f}}},"cpu_share":{:.3f}}})"
      "\n",
      services, took.size(), rate, at(0.5), at(0.9), at(0.99), took.back(), busy);
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int i, std::uint32_t otherwise) {
    return argc > i ? static_cast<std::uint32_t>(std::atoi(argv[i])) : otherwise;
  };
  const std::string what = argc > 1 ? argv[1] : "";
  try {
    if (what == "full") {
      full(number(2, 100'000), number(3, 5));
    } else if (what == "change") {
      change(number(2, 10'000), number(3, 100), number(4, 20));
    } else {
      std::cerr << "usage: service_scale full|change [NUMBER...]\n";
      return 2;
    }
  } catch (const std::exception& error) {
    std::cerr << "service_scale: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
