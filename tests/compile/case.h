#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "compile/compile.h"
#include "model/endpoint.h"
#include "model/object.h"

namespace weir::cases {

// One thing that happens to the desired state.
struct EraseEndpoint {
  std::uint32_t handle;
};
using Event = std::variant<Upsert, Erase, Endpoint, EraseEndpoint>;

// What must hold after the events before it.
struct Expectation {
  enum class Type { kEntry, kNoEntry, kConflict, kNoConflict };
  Type type;
  std::string map;
  std::string key;
  std::vector<std::string> fields;  // "name=value"; of a conflict: one text that it contains
  int line;
};

struct Step {
  std::vector<Event> events;  // of one line
  std::vector<Expectation> expectations;
};

// A .case file: lines of
//   config   node=NAME tunnel=on|off [address=ADDRESS]...
//   apply    FILE.yaml...            Kubernetes objects from objects/
//   delete   FILE.yaml...            the same objects
//   endpoint add HANDLE NAMESPACE/POD ifindex=N mac=MAC ADDRESS...
//   endpoint delete HANDLE
//   expect   MAP KEY FIELD=VALUE...  weir_endpoint, weir_route, kernel_route, weir_netns, name,
//                                    or weir_service ADDRESS:PORT/PROTOCOL[/cluster]
//   expect-none MAP KEY
//   expect-conflict TEXT             one of those reported contains it
//   expect-no-conflict
struct Case {
  NodeConfig config;
  std::vector<Step> steps;
};

// `folder` has the objects/ that the file names.
Result<Case> read_case(const std::string& path, const std::string& folder);

}  // namespace weir::cases
