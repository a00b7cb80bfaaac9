#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "api/flow_line.h"
#include "cli/agents.h"
#include "cli/flow_text.h"
#include "cli/say.h"
#include "cli/stop_signal.h"
#include "cli/verbs.h"
#include "observe/flow_filter.h"

namespace weir::cli {
namespace {

constexpr std::size_t kTimeEnds = sizeof R"({"time":"2026-11-24T02:30:00.123456789Z)" - 1;

struct Options {
  AgentOptions agents;
  std::string output = "compact";
  bool follow = false;
  bool all = false;
  std::string last;
  std::vector<std::string> namespaces, pods, services, addresses, ports, protocols, verdicts,
      reasons, types;

  // The filters by their names in the API, which refuses wrong values in the same words.
  std::vector<std::pair<std::string, const std::vector<std::string>*>> filters() const {
    return {{"namespace", &namespaces}, {"pod", &pods},       {"service", &services},
            {"address", &addresses},    {"port", &ports},     {"protocol", &protocols},
            {"verdict", &verdicts},     {"reason", &reasons}, {"type", &types}};
  }
  bool follows() const { return follow || last.empty(); }
};

Result<std::string> target_of(const Options& options, bool with_history = true) {
  std::string target = "/v1/flows?quiet=";
  target += options.all ? "0" : "1";
  if (options.follows()) target += "&follow=1";
  if (with_history && !options.last.empty()) target += "&last=" + api::percent_encode(options.last);
  FlowFilter check;
  for (const auto& [name, values] : options.filters()) {
    for (const std::string& value : *values) {
      WEIR_TRY(check.add(name, value));
      target += "&" + name + "=" + api::percent_encode(value);
    }
  }
  return target;
}

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (no_colour == nullptr || *no_colour == '\0');
}

std::string compact(std::string_view line, const FlowStyle& style) {
  const auto read = api::parse_flow_line(line);
  if (!read) return std::string(line) + "\n";
  if (const auto* lost = std::get_if<api::LostLine>(&*read)) {
    return lost_text(lost->node, lost->count, style);
  }
  const auto& one = std::get<api::FlowLine>(*read);
  return flow_text(one.flow, one.node, style);
}

// False: nobody reads our output any more.
bool print_out(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

bool print_lines(std::string_view lines, const Options& options, const FlowStyle& style) {
  if (options.output == "json") return print_out(lines);
  std::string out;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    out += compact(line, style);
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
  }
  return print_out(out);
}

// History of several nodes as one, oldest first; `last` was asked of each of them. A line begins
// with its time, so that lines sort as times do.
std::string in_order(std::string_view lines, const std::string& last) {
  std::vector<std::string_view> sorted;
  while (!lines.empty()) {
    sorted.push_back(lines.substr(0, lines.find('\n') + 1));
    lines.remove_prefix(sorted.back().size());
  }
  std::ranges::stable_sort(sorted, {}, [](auto line) { return line.substr(0, kTimeEnds); });
  const std::size_t most = std::strtoul(last.c_str(), nullptr, 10);
  if (sorted.size() > most) sorted.erase(sorted.begin(), sorted.end() - static_cast<long>(most));
  return fmt::format("{}", fmt::join(sorted, ""));
}

void tell_lost(const Error& why) { say("{}: its flows go on when it is back", why.text()); }

int run(const Options& options) {
  const auto target = target_of(options);
  if (!target) return fail(Error(Code::kInvalid, "--" + target.error().text()));
  const auto agents = find_agents(options.agents);
  if (!agents) return fail(agents.error());
  std::vector<api::Stream> streams;
  for (const Agent& agent : *agents) streams.push_back({agent.socket, *target});
  const FlowStyle style{.colour = wants_colour()};
  const Fd stop = stop_signal();
  const api::Again again{.target = *target_of(options, false), .lost = tell_lost};
  std::string history;
  const auto read = api::read_streams(
      streams, true, stop.get(),
      [&](std::size_t, std::string_view lines) {
        if (!options.follows()) {
          history += lines;
          return api::Next::kGoOn;
        }
        return print_lines(lines, options, style) ? api::Next::kGoOn : api::Next::kStop;
      },
      options.follows() ? &again : nullptr);
  if (!options.follows()) print_lines(in_order(history, options.last), options, style);
  if (!read) return fail(read.error());
  if (!options.follows() && history.empty()) {
    say("no flows that match are remembered");
    return kNothing;
  }
  return kOk;
}

void add_filters(Command& verb, Options& options) {
  verb.option("-n,--namespace", options.namespaces, "Either end is in this namespace")
      .placeholder("NS")
      .option("--pod", options.pods, "Either end is this pod, or a pod of this workload")
      .placeholder("NS/POD")
      .option("--service", options.services, "The source addressed this Service")
      .placeholder("NS/NAME")
      .option("--address", options.addresses, "Either end has this address or is in this range")
      .placeholder("CIDR")
      .option("--port", options.ports, "Either end has this port")
      .placeholder("PORT")
      .option("--protocol", options.protocols, "TCP, UDP, ICMP, ICMPv6, SCTP or a number")
      .placeholder("NAME")
      .option("--verdict", options.verdicts, "What became of it")
      .one_of({"forwarded", "dropped"})
      .option("--reason", options.reasons, "Why it was dropped: SPOOFED, NO_ROUTE, ...")
      .placeholder("REASON")
      .option("--type", options.types, "What happened")
      .one_of({"new", "established", "closed", "ended", "dropped"});
}

}  // namespace

void add_monitor(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb =
      program.verb("monitor", "Every connection and every drop, as it happens, by name");
  verb.option("--last", options->last, "Begin with the last N flows; ends there without --follow")
      .placeholder("N")
      .flag("-f,--follow", options->follow, "Go on with what happens (the default without --last)");
  add_filters(verb, *options);
  verb.flag("--all", options->all,
            "Also multicast that stays on a pod's link (LINK_MULTICAST), and the end of "
            "connections that were seen to close");
  options->agents.add_to(verb);
  verb.option("-o,--output", options->output, "How to write flows: a line each, or NDJSON")
      .one_of({"compact", "json"})
      .examples(
          "weir monitor                                 what happens now, on every node\n"
          "weir monitor --last 20                       the last 20 flows, then ends\n"
          "weir monitor -n shop --port 8080             filters: all of them must match\n"
          "weir monitor --pod shop/cart --pod shop/payment   one option given twice: any of them\n"
          "weir monitor --service shop/payment          to this Service, and which backend\n"
          "weir monitor --verdict dropped               only drops, each with its reason\n"
          "weir monitor --address 10.244.1.0/24 -o json | jq .destination.pod\n"
          "\n"
          "A connection between two nodes is seen, and shown, by both.\n"
          "+ new   ✓ established   - closed or ended (↑ from the source, ↓ from the destination)   "
          "✗ dropped")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
