#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "k8s/manifests.h"
#include "local/allocation.h"

namespace weir::local {

// The manifests that were applied to a cluster: one file each below a folder, and a revision that
// grows with each change. Writers hold a lock; readers see each file whole.
class Applied {
 public:
  explicit Applied(std::string folder) : folder_(std::move(folder)) {}

  struct Outcome {
    std::string kind;  // "Deployment"
    std::string namespace_;
    std::string name;
    std::string what;  // "created", "configured", "unchanged", "deleted", "not found"
  };

  Result<void> make();
  Result<Manifests> load() const;
  Result<std::uint64_t> revision() const;
  // Services are kept with the addresses and ports that they are given from `ranges`.
  // kInvalid, and nothing is changed, when the cluster would have more than max_pods pods or a
  // Service wants what it cannot have.
  Result<std::vector<Outcome>> apply(Manifests manifests, std::size_t max_pods,
                                     const ServiceRanges& ranges);
  // A Namespace takes with it what is in it.
  Result<std::vector<Outcome>> remove(const Manifests& manifests);
  const std::string& folder() const { return folder_; }

 private:
  std::string path(const std::string& kind, const Meta& meta) const;
  Result<void> bump() const;

  std::string folder_;
};

std::size_t count_pods(const Manifests& manifests);
// "deployment/cart", with "-n shop" left to the reader: "shop/cart".
std::string to_text(const Applied::Outcome& outcome);
std::string to_json(const std::vector<Applied::Outcome>& outcomes);

}  // namespace weir::local
