#include "local/slice_writer.h"

#include <algorithm>
#include <set>

#include "k8s/json.h"
#include "sys/files.h"

namespace weir::local {

Result<void> SliceWriter::replace(const std::vector<EndpointSlice>& before,
                                  const std::vector<EndpointSlice>& now) const {
  const auto path = [this](const EndpointSlice& slice) {
    return objects_ + "/" + object_path(Kind::kEndpointSlice, slice.key());
  };
  for (const auto& slice : now) {
    if (std::ranges::find(before, slice) != before.end()) continue;
    const auto file = path(slice);
    WEIR_TRY(make_dirs(file.substr(0, file.rfind('/'))));
    WEIR_TRY(write_file_atomic(file, to_json(slice)));
  }
  for (const auto& slice : before) {
    if (std::ranges::find(now, slice.name, &EndpointSlice::name) != now.end()) continue;
    WEIR_TRY(remove_file(path(slice)));
  }
  return {};
}

Result<void> SliceWriter::update(const std::vector<ServiceManifest>& services,
                                 const std::vector<BackingPod>& pods,
                                 const std::map<std::string, std::string>& zones) {
  Result<void> outcome;
  std::set<ObjectKey> wanted;
  const auto change = [&](const ObjectKey& key, std::vector<EndpointSlice> now) {
    auto& before = slices_[key];
    if (now == before) return;
    auto written = replace(before, now);
    if (written) before = std::move(now);
    if (!written && outcome) outcome = written.error();
  };
  for (const auto& manifest : services) {
    const auto key = manifest.meta.key();
    wanted.insert(key);
    change(key, make_slices(manifest.service, pods, zones, slices_[key]));
  }
  for (const auto& [key, before] : slices_) {
    if (!wanted.contains(key)) change(key, {});
  }
  std::erase_if(slices_, [](const auto& entry) { return entry.second.empty(); });
  return outcome;
}

const std::vector<EndpointSlice>& SliceWriter::slices_of(const ObjectKey& service) const {
  static const std::vector<EndpointSlice> kNone;
  const auto found = slices_.find(service);
  return found == slices_.end() ? kNone : found->second;
}

}  // namespace weir::local
