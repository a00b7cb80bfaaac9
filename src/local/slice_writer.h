#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "local/slices.h"

namespace weir::local {

// Keeps the EndpointSlices of Services with selectors in the objects directory, and remembers what
// is in them.
class SliceWriter {
 public:
  explicit SliceWriter(std::string objects) : objects_(std::move(objects)) {}

  // The slices of all Services, and of no other. The first failure is returned; what it concerns is
  // written the next time.
  Result<void> update(const std::vector<ServiceManifest>& services,
                      const std::vector<BackingPod>& pods,
                      const std::map<std::string, std::string>& zones);
  const std::vector<EndpointSlice>& slices_of(const ObjectKey& service) const;

 private:
  Result<void> replace(const std::vector<EndpointSlice>& before,
                       const std::vector<EndpointSlice>& now) const;

  std::string objects_;
  std::map<ObjectKey, std::vector<EndpointSlice>> slices_;  // by Service
};

}  // namespace weir::local
