#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "dataplane/migration.h"
#include "dataplane/pins.h"
#include "dataplane/settings.h"

namespace weir {

// Programs of a cgroup, in the order of Programs::sockets: what makes answers look right comes
// before what translates.
struct SocketProgram {
  const char* name;
  std::uint32_t type;  // enum bpf_attach_type
};
inline constexpr std::size_t kSocketProgramCount = 11;
extern const std::array<SocketProgram, kSocketProgramCount> kSocketPrograms;

// The programs of this build under these settings, and the maps they share: all reached through
// their pins, so an agent that finds them pinned has the same as one that has just loaded them.
struct Programs {
  std::string build;     // of object and settings: 16 hex digits
  bool adopted = false;  // were pinned already; nothing was loaded
  Fd from_pod, to_pod, from_net, to_net, sweep;
  // The kernel empties them when nobody holds or pins them any more.
  Fd stages_in, stages_out;
  // None while Settings::has_sockets() is off:
  std::array<Fd, kSocketProgramCount> sockets;
  Fd sock_find, sock_end;
  Fd xdp;          // none while Settings::has_xdp() is off
  Fd kernel_drop;  // none while Settings::kernel_drops is off, or where the kernel refuses it
  // Of tables that were loaded anew; to be finished when all is attached.
  Migration migration;
};

struct Maps {
  Fd state, endpoint, route, device, ct, events, lost, metrics, capture_filter, capture, sweep;
  // Only with Settings::services.
  Fd service, set, backend, ring, ring_slot, srcrange;
  Fd gone, netns;
  Fd sock_tcp, sock_gone;                // none while Settings::has_sockets() is off
  Fd kernel_drops, kernel_drops_by_pod;  // none while Settings::kernel_drops is off
};

// Tables from the last run that have another layout or capacity are made anew, with their rows.
// Where the kernel refuses kernel_drop, which nothing else needs, a warning says so.
Result<Programs> load_or_adopt(const PinPaths& paths, const Settings& settings, Remarks& remarks);
Result<Maps> open_maps(const PinPaths& paths, const Settings& settings);
// Programs of other builds, after no link uses them any more.
void forget_other_builds(const PinPaths& paths, const std::string& build);

}  // namespace weir
