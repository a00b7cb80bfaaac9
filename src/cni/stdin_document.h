#pragma once

#include <string>
#include <string_view>

namespace weir::cni {

// The network configuration: what weir-cni itself needs of it, and its text for the agent.
struct Configuration {
  std::string text;
  std::string version;  // to answer in
  std::string run_dir = "/run/weir";
  std::string state_dir = "/var/lib/weir";
  int fault_code = 0;  // 0: none
  std::string fault;
};

Configuration parse_configuration(std::string text);

// All of stdin; longer than the limit is cut just above it, so that parsing refuses it.
std::string read_stdin();

}  // namespace weir::cni
