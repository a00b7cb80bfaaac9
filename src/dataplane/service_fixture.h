#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "abi/rendezvous.h"
#include "dataplane/service_tables.h"
#include "state/entries.h"

namespace weir {

struct FakeSizes {
  std::uint32_t rows = 4096, sets = 4096, backends = 16384, rings = 4, maglev_slots = 1021,
                ranges = 4096;
};

// The kernel's Service tables in ordinary memory. Outlives the agents that write it.
class FakeKernel : public ServiceRows {
 public:
  explicit FakeKernel(const FakeSizes& sizes = {})
      : sizes_(sizes),
        sets_(sizes.sets),
        rings_(sizes.sets),
        backends_(std::size_t{sizes.backends} * kBackendWords),
        slots_(std::size_t{sizes.rings} * ((sizes.maglev_slots + 1) / 2)) {}

  ServiceMemory memory() {
    return {.sets = reinterpret_cast<weir_set*>(sets_.data()),
            .set_capacity = sizes_.sets,
            .backends = backends(),
            .backend_capacity = sizes_.backends,
            .rings = reinterpret_cast<weir_ring*>(rings_.data()),
            .ring_slots = reinterpret_cast<weir_ring_slots*>(slots_.data()),
            .ring_capacity = sizes_.rings,
            .maglev_slots = sizes_.maglev_slots,
            .row_capacity = sizes_.rows,
            .range_capacity = sizes_.ranges,
            .reach = [this](const void* from, std::size_t) {
              reached_.insert(from);
              return Result<void>();
            }};
  }
  std::uint64_t now_ms = 5000;
  ServiceTables::Clock clock() {
    return [this] { return now_ms; };
  }
  // A starting agent.
  std::unique_ptr<ServiceTables> agent() {
    reached_.clear();
    auto out = std::make_unique<ServiceTables>(memory(), *this, clock());
    if (!out->adopt()) throw std::runtime_error("adopt");
    return out;
  }

  // Of 100 writes, how many fail.
  unsigned failures = 0;
  std::uint64_t writes = 0;  // rows and ranges

  Result<void> update(const std::vector<weir_service>& rows, std::size_t* done) override {
    for (*done = 0; *done < rows.size(); ++*done) {
      const weir_service& row = rows[*done];
      const std::scoped_lock lock(mutex_);
      const bool full = rows_.size() >= sizes_.rows && !rows_.contains(row.key);
      if (full || fails()) return Error(Code::kKernel, full ? "map is full" : "injected");
      rows_.insert_or_assign(row.key, row);
      ++writes;
    }
    return {};
  }
  Result<void> erase(const std::vector<weir_service_key>& keys) override {
    for (const auto& key : keys) {
      if (fails()) return Error(Code::kKernel, "injected");
      const std::scoped_lock lock(mutex_);
      rows_.erase(key);
      ++writes;
    }
    return {};
  }
  Result<void> for_each(const std::function<void(const weir_service&)>& each) override {
    for (const auto& [key, row] : rows_) each(row);
    return {};
  }
  Result<void> add_range(const weir_srcrange_key& key) override {
    const bool full = ranges_.size() >= sizes_.ranges && !ranges_.contains(key);
    if (full || fails()) return Error(Code::kKernel, full ? "map is full" : "injected");
    ranges_.insert(key);
    ++writes;
    return {};
  }
  Result<void> erase_range(const weir_srcrange_key& key) override {
    if (fails()) return Error(Code::kKernel, "injected");
    ranges_.erase(key);
    ++writes;
    return {};
  }
  Result<void> for_each_range(const std::function<void(const weir_srcrange_key&)>& each) override {
    for (const auto& key : ranges_) each(key);
    return {};
  }

  bool row(const weir_service_key& key, weir_service* out) {
    const std::scoped_lock lock(mutex_);
    const auto found = rows_.find(key);
    if (found == rows_.end()) return false;
    *out = found->second;
    return true;
  }
  void corrupt(const weir_service& row) { rows_.insert_or_assign(row.key, row); }
  std::size_t row_count() const { return rows_.size(); }
  std::size_t range_count() const { return ranges_.size(); }

  // What clients would see, one line for each row.
  std::vector<std::string> visible() {
    std::vector<std::string> out;
    for (const auto& [key, row] : rows_) out.push_back(line(row));
    std::ranges::sort(out);
    return out;
  }
  weir_set set(std::uint32_t index) { return memory().sets[index]; }
  weir_ring ring(std::uint32_t index) { return memory().rings[index]; }
  std::vector<std::uint32_t> ring_slots(std::uint32_t set) {
    std::vector<std::uint32_t> out;
    const weir_ring at = ring(set);
    for (std::uint32_t i = 0; at.set == set && i < sizes_.maglev_slots; ++i) {
      out.push_back(memory().ring_slots[at.offset + i / 2].backend[i % 2]);
    }
    return out;
  }
  // Has the agent made the set's ring accessible to itself?
  bool has_reached_ring(std::uint32_t set) {
    return reached_.contains(memory().ring_slots + ring(set).offset);
  }
  weir_backend* backends() { return reinterpret_cast<weir_backend*>(backends_.data()); }

 private:
  static constexpr std::size_t kBackendWords = sizeof(weir_backend) / sizeof(std::uint64_t);

  struct Less {
    template <typename Key>
    bool operator()(const Key& a, const Key& b) const {
      return std::memcmp(&a, &b, sizeof a) < 0;
    }
  };

  bool fails() { return failures != 0 && random_() % 100 < failures; }

  std::string line(const weir_service& row) {
    std::string out =
        fmt::format("{}:{}/{}/{} flags={:#x} affinity={}", from_abi(row.key.vip).to_string(),
                    ntohs(row.key.port), row.key.proto, row.key.scope, row.flags, row.affinity_s);
    out += backends_text(row.set);
    if ((row.flags & WEIR_SERVICE_DSR) != 0) out += " here:" + backends_text(row.local_set);
    if ((row.flags & WEIR_SERVICE_SOURCE_RANGES) == 0) return out;
    std::vector<Cidr> ranges;
    for (const auto& range : ranges_) {
      const Address from = from_abi(range.addr);
      const int bits = static_cast<int>(range.prefixlen) - (from.is_v4() ? 128 : 32);
      if (range.service == row.id) ranges.emplace_back(from, bits);
    }
    std::ranges::sort(ranges);
    for (const Cidr& range : ranges) out += " from " + range.to_string();
    return out;
  }

  std::string backends_text(std::uint32_t index) {
    std::string out;
    const weir_set extent = set(index);
    for (std::uint32_t i = extent.offset; i < extent.offset + extent.count; ++i) {
      const weir_backend& one = backends()[i];
      if (one.set != index) return out + " FOREIGN BACKEND";
      out += fmt::format(" {}:{}{}", from_abi(one.addr).to_string(), ntohs(one.port),
                         one.flags != 0 ? "*" : "");
    }
    return out;
  }

  FakeSizes sizes_;
  std::vector<std::uint64_t> sets_, rings_, backends_, slots_;
  std::mutex mutex_;
  std::set<const void*> reached_;
  std::map<weir_service_key, weir_service, Less> rows_;
  std::set<weir_srcrange_key, Less> ranges_;
  std::mt19937 random_{11};
};

inline std::string text_of(const std::vector<ServiceBackend>& backends) {
  std::string out;
  std::uint32_t divisor = 0;
  for (const auto& one : backends) divisor = std::gcd(divisor, one.weight);
  for (const auto& one : backends) {
    for (std::uint32_t i = 0; i < one.weight / std::max(divisor, 1U); ++i) {
      out += fmt::format(" {}:{}{}", one.address.to_string(), one.port, one.this_node ? "*" : "");
    }
  }
  return out;
}

// What the kernel should show for these entries, written down naively.
inline std::vector<std::string> expected(const ServiceChanges& desired) {
  std::vector<std::string> out;
  for (const auto& [key, entries] : desired) {
    for (const ServiceFrontend& row : entries.frontends) {
      const bool other = (row.flags & WEIR_SERVICE_OTHER_PORTS) != 0;
      std::string line = fmt::format("{}:{}/{}/{} flags={:#x} affinity={}", row.address.to_string(),
                                     row.port, other ? 0 : static_cast<int>(key.protocol),
                                     row.scope, row.flags, entries.affinity_seconds);
      if (!other) line += text_of(row.local_set ? entries.local : entries.cluster);
      if ((row.flags & WEIR_SERVICE_DSR) != 0) line += " here:" + text_of(entries.local);
      if ((row.flags & WEIR_SERVICE_SOURCE_RANGES) != 0) {
        for (const Cidr& cidr : entries.source_ranges) line += " from " + cidr.to_string();
      }
      out.push_back(line);
    }
  }
  std::ranges::sort(out);
  return out;
}

inline ServicePortKey port_key(const std::string& name, Protocol protocol = Protocol::kTcp) {
  return {.object = {"shop", name}, .port = "http", .protocol = protocol};
}

inline Address pod(std::uint32_t n) { return Address::v4(0x0af40000 + n); }
inline Address vip(std::uint32_t n) { return Address::v4(0x0a600000 + n); }

inline std::vector<ServiceBackend> pods(std::uint32_t first, std::uint32_t count) {
  std::vector<ServiceBackend> out;
  for (std::uint32_t i = 0; i < count; ++i)
    out.push_back({.address = pod(first + i), .port = 8080});
  return out;
}

// A ClusterIP with backends.
inline ServicePortEntries cluster_ip(std::uint32_t n, std::vector<ServiceBackend> backends) {
  ServicePortEntries out;
  out.frontends = {{.address = vip(n), .port = 80}};
  out.cluster = std::move(backends);
  return out;
}

}  // namespace weir
