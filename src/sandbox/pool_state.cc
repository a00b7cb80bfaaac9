#include "sandbox/pool_state.h"

#include <fmt/format.h>

#include <ctime>
#include <iterator>
#include <nlohmann/json.hpp>

#include "sys/files.h"
#include "sys/netns.h"

namespace weir {
namespace {

using Json = nlohmann::json;

// Links' numbers are handles and some more, and the kernel's are of 31 bits.
constexpr std::uint64_t kMaxHandle = 1U << 30;

Result<std::string> boot_id() {
  static const auto id = read_sysctl("kernel/random/boot_id");
  return id;
}

}  // namespace

std::uint64_t boot_time_ns() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Result<PoolState> load_pool_state(const std::string& path) {
  const auto text = read_file(path, 64 << 20);
  if (!text && text.error().code() == Code::kNotFound) return PoolState{};
  if (!text) return text.error();
  auto state = parse_pool_state(*text);
  return state ? state : state.error().within(path);
}

Result<PoolState> parse_pool_state(std::string_view text) {
  WEIR_ASSIGN(const auto boot, boot_id());
  const auto json = Json::parse(text, nullptr, false);
  const Error broken(Code::kInvalid, "not a pool state");
  if (!json.is_object() || !json.contains("resting") || !json["resting"].is_array()) return broken;
  PoolState state;
  const auto number = [](const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
  };
  const std::uint64_t next_handle = number(json, "next_handle");
  if (next_handle > kMaxHandle) return broken;
  state.next_handle = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, next_handle));
  const bool this_boot = json.contains("boot_id") && json["boot_id"] == boot;
  for (const auto& one : json["resting"]) {
    if (!one.is_object() || !one.contains("address") || !one["address"].is_string()) return broken;
    WEIR_ASSIGN(const auto address, Address::parse(one["address"].get<std::string>()));
    state.resting.push_back({address, this_boot ? number(one, "freed_ns") : boot_time_ns()});
  }
  return state;
}

// Written at each DEL: as text, for a tree of JSON values would cost more than the rest of it.
Result<void> save_pool_state(const std::string& path, const PoolState& state) {
  WEIR_ASSIGN(const auto boot, boot_id());
  auto text =
      fmt::format(R"({{"boot_id":"{}","next_handle":{},"resting":[)", boot, state.next_handle);
  const char* separator = "";
  for (const auto& [address, freed_ns] : state.resting) {
    fmt::format_to(std::back_inserter(text), R"({}{{"address":"{}","freed_ns":{}}})", separator,
                   address.to_string(), freed_ns);
    separator = ",";
  }
  text += "]}";
  return write_file_atomic(path, text);
}

}  // namespace weir
