#include "local/applied.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "local/manifest_json.h"
#include "sys/files.h"

namespace weir::local {
namespace {

struct Item {
  std::string kind;
  Meta meta;
  std::string text;
};

// In the order in which they are said: namespaces first.
std::vector<Item> items_of(const Manifests& manifests) {
  std::vector<Item> items;
  const auto add = [&items](const char* kind, const auto& list) {
    for (const auto& manifest : list) {
      items.push_back({kind, manifest.meta, to_manifest(manifest)});
    }
  };
  add("Namespace", manifests.namespaces);
  add("Service", manifests.services);
  add("EndpointSlice", manifests.slices);
  add("Deployment", manifests.deployments);
  add("Pod", manifests.pods);
  return items;
}

Result<Fd> lock(const std::string& folder) {
  Fd fd(open((folder + "/.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return errno_error(errno, folder);
  if (flock(fd.get(), LOCK_EX) != 0) return errno_error(errno, folder);
  return fd;
}

// Pods of the cluster if `change` were applied over `now`.
std::size_t pods_after(const Manifests& now, const Manifests& change) {
  std::map<ObjectKey, std::size_t> deployments;
  std::map<ObjectKey, std::size_t> pods;
  for (const auto* manifests : {&now, &change}) {
    for (const auto& d : manifests->deployments) deployments[d.meta.key()] = d.replicas;
    for (const auto& p : manifests->pods) pods[p.meta.key()] = 1;
  }
  std::size_t sum = pods.size();
  for (const auto& [key, replicas] : deployments) sum += replicas;
  return sum;
}

void add_contents(std::vector<Item>& items, const Manifests& now, const std::string& ns) {
  for (auto& item : items_of(now)) {
    const auto same = [&item](const Item& other) {
      return other.kind == item.kind && other.meta.key() == item.meta.key();
    };
    if (item.meta.namespace_ == ns && std::none_of(items.begin(), items.end(), same)) {
      items.push_back(std::move(item));
    }
  }
}

}  // namespace

std::size_t count_pods(const Manifests& manifests) { return pods_after({}, manifests); }

std::string Applied::path(const std::string& kind, const Meta& meta) const {
  return fmt::format("{}/{}/{}/{}.json", folder_, kind,
                     meta.namespace_.empty() ? "_" : meta.namespace_, meta.name);
}

Result<void> Applied::make() {
  WEIR_TRY(make_dirs(folder_));
  return bump();
}

Result<Manifests> Applied::load() const {
  std::vector<std::string> files;
  std::set<std::string> namespaces;
  for (const char* kind : {"Namespace", "Service", "EndpointSlice", "Deployment", "Pod"}) {
    WEIR_ASSIGN(const auto folders, list_dir(fmt::format("{}/{}", folder_, kind)));
    for (const auto& ns : folders) {
      WEIR_ASSIGN(const auto names, list_dir(fmt::format("{}/{}/{}", folder_, kind, ns)));
      namespaces.insert(ns);
      for (const auto& name : names) {
        files.push_back(fmt::format("{}/{}/{}/{}", folder_, kind, ns, name));
      }
    }
  }
  if (files.empty()) return Manifests{};
  auto result = load_manifests(files, namespaces);
  if (!result.ok()) return Error(Code::kInvalid, result.errors.front());
  return std::move(result.manifests);
}

Result<std::uint64_t> Applied::revision() const {
  const auto text = read_file(folder_ + "/.revision", 64);
  std::uint64_t revision = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), revision);
  return revision;
}

Result<void> Applied::bump() const {
  WEIR_ASSIGN(const auto now, revision());
  // The file that appears tells the controller to look.
  return write_file_atomic(folder_ + "/.revision", std::to_string(now + 1));
}

Result<std::vector<Applied::Outcome>> Applied::apply(Manifests manifests, std::size_t max_pods,
                                                     const ServiceRanges& ranges) {
  WEIR_ASSIGN(const auto locked, lock(folder_));
  WEIR_ASSIGN(const auto now, load());
  if (const auto pods = pods_after(now, manifests); pods > max_pods) {
    return Error(Code::kInvalid,
                 fmt::format("{} pods: a local cluster has at most {}", pods, max_pods));
  }
  WEIR_ASSIGN(manifests.services, allocate_services(ranges, now.services,
                                                    std::move(manifests.services), time(nullptr)));
  std::vector<Outcome> outcomes;
  bool changed = false;
  for (const auto& item : items_of(manifests)) {
    const auto file = path(item.kind, item.meta);
    const auto before = read_file(file, 16 << 20);
    const bool same = before && *before == item.text;
    outcomes.push_back({item.kind, item.meta.namespace_, item.meta.name,
                        same     ? "unchanged"
                        : before ? "configured"
                                 : "created"});
    if (same) continue;
    changed = true;
    WEIR_TRY(make_dirs(file.substr(0, file.rfind('/'))));
    WEIR_TRY(write_file_atomic(file, item.text));
  }
  if (changed) WEIR_TRY(bump());
  return outcomes;
}

Result<std::vector<Applied::Outcome>> Applied::remove(const Manifests& manifests) {
  WEIR_ASSIGN(const auto locked, lock(folder_));
  WEIR_ASSIGN(const auto now, load());
  auto items = items_of(manifests);
  for (const auto& ns : manifests.namespaces) add_contents(items, now, ns.meta.name);
  std::vector<Outcome> outcomes;
  for (const auto& item : items) {
    const auto file = path(item.kind, item.meta);
    const bool there = access(file.c_str(), F_OK) == 0;
    WEIR_TRY(remove_file(file));
    outcomes.push_back(
        {item.kind, item.meta.namespace_, item.meta.name, there ? "deleted" : "not found"});
  }
  WEIR_TRY(bump());
  return outcomes;
}

std::string to_text(const Applied::Outcome& outcome) {
  std::string kind = outcome.kind;
  kind[0] = static_cast<char>(kind[0] - 'A' + 'a');
  const ObjectKey key{outcome.namespace_, outcome.name};
  return fmt::format("{} {} {}", kind, key.to_string(), outcome.what);
}

std::string to_json(const std::vector<Applied::Outcome>& outcomes) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& o : outcomes) {
    json.push_back(
        {{"kind", o.kind}, {"namespace", o.namespace_}, {"name", o.name}, {"result", o.what}});
  }
  return json.dump(2) + "\n";
}

}  // namespace weir::local
