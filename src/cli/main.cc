// weir: the command line of Weir. As kubectl-weir it is a plugin of kubectl, without the verbs of
// the local cluster.

#include <filesystem>

#include "cli/verbs.h"

int main(int argc, char** argv) {
  using namespace weir::cli;
  Program program(std::filesystem::path(*argv).filename() == "kubectl-weir");
  if (!program.is_plugin()) {
    add_up(program);
    add_down(program);
    add_apply(program);
    add_delete(program);
    add_exec(program);
    add_logs(program);
    add_local_hidden(program);
    add_relay(program);
    add_answer(program);
  }
  add_install(program);
  add_uninstall(program);
  add_test(program);
  add_sysdump(program);
  add_status(program);
  add_endpoints(program);
  add_services(program);
  add_monitor(program);
  add_capture(program);
  add_version(program);
  add_completion(program);
  return program.run(argc, argv);
}
