#include "sandbox/conflist.h"

#include <nlohmann/json.hpp>

#include "sandbox/cni_rules.h"

namespace weir::cni {

std::string conflist_text(const std::string& run_dir, const std::string& state_dir, bool services) {
  const nlohmann::ordered_json plugin = {
      {"type", "weir-cni"},
      {"runDir", run_dir},
      {"stateDir", state_dir},
      {"capabilities", {{"bandwidth", true}, {"ips", true}, {"portMappings", services}}}};
  const nlohmann::ordered_json list = {{"cniVersion", "1.0.0"},
                                       {"cniVersions", kVersions},
                                       {"name", "weir"},
                                       {"plugins", nlohmann::ordered_json::array({plugin})}};
  return list.dump(2) + "\n";
}

}  // namespace weir::cni
