// Kubernetes YAML as people write it.
#include "k8s/manifests.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto read = weir::parse_manifests(text, "input.yaml");
  if (!read.ok()) return 0;
  // What is called valid can be used.
  for (const auto& pod : read.manifests.pods) static_cast<void>(weir::to_model(pod));
  for (const auto& service : read.manifests.services) static_cast<void>(weir::to_model(service));
  for (const auto& slice : read.manifests.slices) static_cast<void>(weir::to_model(slice));
  for (const auto& deployment : read.manifests.deployments) {
    if (weir::pod_of(deployment, "name").spec != deployment.spec) std::abort();
  }
  return 0;
}
