// weir-pod-server: a small server, and client, for pods of the local cluster. See ../README.md.

#include <fmt/format.h>

#include <cstdio>

#include "net.h"

namespace {

constexpr const char* kHelp =
    "weir-pod-server [OPTIONS]: a small server and client for pods\n"
    "  --http PORT           HTTP server; /healthz answers ok, others with JSON\n"
    "  --tcp-echo PORT       sends back what it gets\n"
    "  --udp-echo PORT       the same for datagrams\n"
    "  --upstream NAME=URL   called for each HTTP request; http:// or tcp://\n"
    "  --only PATH           upstreams are called for this path and below only\n"
    "  --work MS             an HTTP request takes so long\n"
    "  --body BYTES          an answer is so much longer\n"
    "  --fail PERCENT        so many answers are errors\n"
    "  --load URL            calls http://, tcp:// or udp:// again and again\n"
    "  --rps N               calls per second (default 5)\n"
    "  --requests N          ends after so many calls; exit 0 if all were well\n"
    "  --keep-alive          keeps HTTP connections of --load\n"
    "  --quiet               no log line per request\n";

}  // namespace

int main(int argc, char** argv) {
  const auto options = weir::pod_server::parse_options({argv + 1, argv + argc});
  if (!options) {
    fmt::print(stderr, "weir-pod-server: {}\n", options.error().text());
    return 2;
  }
  if (options->help || argc == 1) {
    fmt::print("{}", kHelp);
    return 0;
  }
  return weir::pod_server::run(*options);
}
