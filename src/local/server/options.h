#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace weir::pod_server {

struct Url {
  enum class Scheme { kHttp, kTcp, kUdp };
  Scheme scheme = Scheme::kHttp;
  std::string host;
  std::string port;
  std::string path = "/";
  std::string text;  // as given
};

struct Upstream {
  std::string name;
  Url url;
};

struct Options {
  std::vector<std::uint16_t> http;
  std::vector<std::uint16_t> tcp_echo;
  std::vector<std::uint16_t> udp_echo;
  std::vector<Upstream> upstreams;
  std::vector<std::string> only;
  std::uint64_t work_ms = 0;
  std::uint64_t body_bytes = 0;
  std::uint64_t fail_percent = 0;
  std::vector<Url> loads;
  double rps = 5;
  std::uint64_t requests = 0;  // 0: for ever
  bool keep_alive = false;
  bool quiet = false;
  bool help = false;
};

// "http://cart:8080/items", "tcp://database:5432", "udp://[fd00::1]:53".
Result<Url> parse_url(const std::string& text);
// "--http 80" and "--http=80" are the same.
Result<Options> parse_options(const std::vector<std::string>& words);
// True when the path is one of `only` or below it, or `only` is empty.
bool calls_upstreams(const Options& options, const std::string& path);

}  // namespace weir::pod_server
