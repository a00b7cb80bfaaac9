// What `kubectl weir` runs beside an agent: standard input and output are a connection to its
// socket. Ends when either side does.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "cli/agents.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return errno_error(ENAMETOOLONG, path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Error(Code::kUnavailable, errno_error(errno, path).text());
  }
  return fd;
}

// False at the end of either.
bool pass(int from, int to) {
  std::array<char, 65536> buffer{};
  const ssize_t got = read(from, buffer.data(), buffer.size());
  if (got < 0) return errno == EINTR;
  for (ssize_t done = 0; done < got;) {
    const ssize_t put = write(to, buffer.data() + done, static_cast<std::size_t>(got - done));
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) done += put;
  }
  return got > 0;
}

int run(const std::string& path) {
  const auto agent = connect_to(path);
  if (!agent) return fail(agent.error());
  std::array<pollfd, 2> wait = {{{STDIN_FILENO, POLLIN, 0}, {agent->get(), POLLIN, 0}}};
  while (true) {
    if (poll(wait.data(), wait.size(), -1) < 0) continue;
    // The agent's last words before the end of who asked.
    if (wait[1].revents != 0 && !pass(agent->get(), STDOUT_FILENO)) return kOk;
    if (wait[1].revents == 0 && wait[0].revents != 0 && !pass(STDIN_FILENO, agent->get())) {
      return kOk;
    }
  }
}

}  // namespace

void add_relay(Program& program) {
  auto path = std::make_shared<std::string>("/run/weir/agent.sock");
  program.verb("relay", "Standard input and output are a connection to the agent")
      .option("--socket", *path, "Of the agent")
      .hidden()
      .run([path] { return run(*path); });
}

}  // namespace weir::cli
