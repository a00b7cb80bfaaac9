#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "api/query.h"
#include "api/status.h"
#include "cli/agents.h"
#include "cli/say.h"
#include "cli/stop_signal.h"
#include "cli/tuple.h"
#include "cli/verbs.h"
#include "observe/flow_json.h"
#include "observe/pcapng.h"

namespace weir::cli {
namespace {

struct Options {
  AgentOptions agents;
  Output output = Output::kText;
  std::string pod, address, port, protocol, tuple, file;
  std::uint64_t packets = 1000;
  std::uint64_t seconds = 30;
  std::uint64_t bytes = 64U << 20;
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

Result<std::string> target_of(const Options& options) {
  std::string target = fmt::format("/v1/capture?packets={}&seconds={}&bytes={}", options.packets,
                                   options.seconds, options.bytes);
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) target += fmt::format("&{}={}", name, api::percent_encode(value));
  };
  add("pod", options.pod);
  add("address", options.address);
  add("port", options.port);
  add("protocol", options.protocol);
  if (!options.tuple.empty()) {
    const auto tuple = parse_tuple(options.tuple);
    if (!tuple) return tuple.error().within("tuple");
    add("address", tuple->source.address ? tuple->source.address->to_string() : "");
    add("port", tuple->source.port);
    add("peer", tuple->destination.address ? tuple->destination.address->to_string() : "");
    add("peer_port", tuple->destination.port);
    add("protocol", tuple->protocol);
  }
  WEIR_ASSIGN(const auto query, api::parse_target(target));
  WEIR_TRY(api::parse_capture(query));
  return target;
}

// Only the pod's own node has it.
Result<std::vector<Agent>> agents_of(const Options& options) {
  WEIR_ASSIGN(auto agents, find_agents(options.agents));
  if (options.pod.empty()) return agents;
  std::vector<Agent> having;
  for (const Agent& agent : agents) {
    WEIR_ASSIGN(const auto body, api::get(agent.socket, "/v1/endpoints"));
    WEIR_ASSIGN(const auto endpoints, api::parse_endpoints(body));
    const bool here = std::ranges::any_of(endpoints, [&](const api::EndpointInfo& endpoint) {
      return endpoint.namespace_ + "/" + endpoint.pod == options.pod;
    });
    if (here) having.push_back(agent);
  }
  if (having.empty()) {
    return Error(Code::kNotFound,
                 fmt::format("no pod {} is attached: 'weir endpoints' lists them", options.pod));
  }
  return having;
}

Result<void> check_file(const Options& options) {
  if (options.file != "-" || isatty(STDOUT_FILENO) == 0) return {};
  return Error(Code::kInvalid,
               "a capture is no text: name a file with -w, or pipe it: "
               "weir capture -w - | tshark -r -");
}

// Opens the file with the first bytes: a capture that is refused leaves it as it was.
Result<void> write(const Options& options, File& file, std::string_view bytes) {
  if (!file) {
    const bool pipe = options.file == "-";
    file.reset(pipe ? fdopen(dup(STDOUT_FILENO), "w") : std::fopen(options.file.c_str(), "we"));
    if (!file) return errno_error(errno, options.file);
  }
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
  if (!written || std::fflush(file.get()) != 0) {
    return Error(Code::kKernel, options.file + ": cannot be written");
  }
  return {};
}

// The packets that were written.
Result<std::uint64_t> write_capture(const Options& options,
                                    const std::vector<api::Stream>& streams) {
  pcapng::Merger merger;
  File file;
  Result<void> written;
  const Fd stop = stop_signal();
  const auto read = api::read_streams(
      streams, false, stop.get(), [&](std::size_t stream, std::string_view bytes) {
        std::string out;
        written = merger.feed(stream, bytes, out);
        if (written && !out.empty()) written = write(options, file, out);
        const bool enough = merger.packets() >= options.packets;
        return written && !enough ? api::Next::kGoOn : api::Next::kStop;
      });
  WEIR_TRY(read);
  WEIR_TRY(written);
  return merger.packets();
}

void tell(const Options& options, std::uint64_t packets) {
  if (options.file == "-") return;
  if (options.output == Output::kJson) {
    std::string file;
    append_json_string(file, options.file);
    fmt::print("{{\"packets\":{},\"file\":{}}}\n", packets, file);
  } else {
    fmt::print("{} packets in {}: 'tshark -r {}' reads them\n", packets, options.file,
               options.file);
  }
}

int run(const Options& options) {
  const auto target = target_of(options);
  if (!target) return fail(Error(Code::kInvalid, "--" + target.error().text()));
  const auto agents = agents_of(options);
  if (!agents) return fail(agents.error());
  if (const auto fits = check_file(options); !fits) return fail(fits.error());
  std::vector<api::Stream> streams;
  for (const Agent& agent : *agents) streams.push_back({agent.socket, *target});
  const auto packets = write_capture(options, streams);
  if (!packets) return fail(packets.error());
  tell(options, *packets);
  if (*packets == 0) say("no packet matched in {} s", options.seconds);
  return *packets == 0 ? kNothing : kOk;
}

void add_filters(Command& verb, Options& options) {
  verb.option("--pod", options.pod, "Packets of this pod, at its node's hooks")
      .placeholder("NS/POD")
      .option("--address", options.address, "One end has this address")
      .placeholder("IP")
      .option("--port", options.port, "Port of that end; beside --pod, of either end")
      .placeholder("PORT")
      .option("--protocol", options.protocol, "TCP, UDP, ICMP, ICMPv6, SCTP or a number")
      .placeholder("NAME")
      .option("--tuple", options.tuple,
              "Both ends, either direction: 'IP:PORT>IP:PORT/PROTOCOL'; "
              "parts may be left out")
      .placeholder("TUPLE");
}

}  // namespace

void add_capture(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb =
      program.verb("capture", "Packets as Weir's hooks see them, as pcapng with a comment each");
  verb.option("-w,--write", options->file, "File to write, '-' for standard output")
      .placeholder("FILE")
      .required();
  add_filters(verb, *options);
  verb.option("--packets", options->packets, "Ends after this many (default 1000)")
      .option("--seconds", options->seconds, "Ends after this time (default 30)")
      .option("--bytes", options->bytes,
              "Ends after about this many from one node (default 64 MiB)");
  options->agents.add_to(verb);
  verb.output(options->output)
      .examples(
          "weir capture --pod shop/cart-0 -w cart.pcapng\n"
          "weir capture --pod shop/cart-0 --port 8080 --packets 20 -w - | tshark -r - -T fields -e "
          "frame.comment\n"
          "weir capture --tuple '10.244.0.5>10.244.1.7:8080/tcp' --seconds 5 -w one.pcapng\n"
          "\n"
          "Redirected packets never meet the node's own tcpdump: this taps where they pass.\n"
          "One capture at a time on a node.")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
