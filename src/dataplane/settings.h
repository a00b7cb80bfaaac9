#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "abi/settings.h"
#include "base/result.h"

namespace weir {

// The settings of a node with their defaults; a value, hashed into the build id.
struct Settings {
#define WEIR_SETTING(type, name, def, help) weir_setting_##type name = def;
#include "abi/settings.def"
#undef WEIR_SETTING

  // As the programs read them. hz: jiffies per second of this kernel.
  weir_settings to_abi() const {
    weir_settings out{};
#define WEIR_SETTING(type, setting, def, help) out.setting = setting;
#include "abi/settings.def"
#undef WEIR_SETTING
    out.socket_services = has_sockets();
    out.xdp = has_xdp();
    return out;
  }

  bool has_sockets() const { return services != 0 && socket_services != 0; }
  bool has_xdp() const { return services != 0 && xdp != 0; }
};

// Elements of weir_ring_slot: two slots each.
inline std::uint32_t ring_words(const Settings& settings) {
  return settings.ring_max * ((settings.maglev_slots + 1) / 2);
}

// None: settings do not say.
std::optional<std::uint32_t> capacity_of(std::string_view map, const Settings& settings);

// kKernel, naming the map and, where there is one, the flag that makes more room.
Error table_is_full(std::string_view map, int saved_errno);

// kInvalid, naming the setting and what it may be.
Result<void> check(const Settings& settings);

}  // namespace weir
