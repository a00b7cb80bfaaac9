#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "cli/agents.h"
#include "cli/local_options.h"
#include "cli/say.h"
#include "cli/verbs.h"
#include "local/up.h"

namespace weir::cli {
namespace {

struct Options {
  LocalOptions local;
  Output output = Output::kText;
};

int run(const Options& options) {
  std::signal(SIGPIPE, SIG_IGN);  // half a cluster helps nobody, `| head` or not
  const auto paths = options.local.paths();
  const auto lock = options.local.lock();
  if (!lock) return fail(lock.error());
  const auto down = take_down(paths, [](std::string_view line) { say(line); });
  options.local.forget();
  if (!down) return fail(down.error());
  if (options.output == Output::kJson) {
    fmt::print("{{\"name\": \"{}\", \"was_up\": {}}}\n", paths.name, *down);
  } else if (*down) {
    fmt::print("Cluster '{}' is down; nothing of it is left.\n", paths.name);
  } else {
    fmt::print("There is no local cluster '{}'.\n", paths.name);
  }
  return kOk;
}

}  // namespace

void add_down(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("down", "Take a local cluster down, whatever state it is in");
  options->local.add_to(verb);
  verb.output(options->output).examples("weir down\nweir down --name second").run([options] {
    return run(*options);
  });
}

}  // namespace weir::cli
