// What `weir test` runs in its pods.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <iostream>

#include "cli/agents.h"
#include "cli/probe.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

constexpr std::size_t kAtOnce = 16;
constexpr auto kPatience = std::chrono::seconds(3);

struct Options {
  std::uint64_t port = 8080;
  std::string name;
};

std::string result_of(const std::string& line) {
  const auto probe = parse_probe(line);
  const auto answered = probe ? ask(*probe, kPatience) : Result<std::string>(probe.error());
  return answered ? "ok " + *answered : "fault " + answered.error().text();
}

// A line for each line of standard input, in its order.
int ask_all() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  for (std::size_t first = 0; first < lines.size(); first += kAtOnce) {
    std::vector<std::future<std::string>> results;
    for (std::size_t i = first; i < std::min(first + kAtOnce, lines.size()); ++i) {
      results.push_back(std::async(std::launch::async, result_of, lines[i]));
    }
    for (auto& result : results) fmt::print("{}\n", result.get());
  }
  return kOk;
}

int serve(const Options& options) {
  if (const auto ended = answer(static_cast<std::uint16_t>(options.port), options.name); !ended) {
    return fail(ended.error());
  }
  std::fflush(nullptr);
  _exit(kOk);  // connections that still wait go with it
}

}  // namespace

void add_answer(Program& program) {
  auto options = std::make_shared<Options>();
  program.verb("answer", "Answer what `weir ask` asks, on TCP and UDP")
      .option("--port", options->port, "Where")
      .option("--name", options->name, "Who answers")
      .hidden()
      .run([options] { return serve(*options); });
  program.verb("ask", "Ask each line of standard input, as probe.h has them").hidden().run([] {
    return ask_all();
  });
}

}  // namespace weir::cli
