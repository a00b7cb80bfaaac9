// weir: the command line of Weir.

#include "cli/verbs.h"

int main(int argc, char** argv) {
  using namespace weir::cli;
  Program program;
  add_up(program);
  add_down(program);
  add_apply(program);
  add_delete(program);
  add_exec(program);
  add_logs(program);
  add_local_hidden(program);
  add_status(program);
  add_endpoints(program);
  add_services(program);
  add_monitor(program);
  add_capture(program);
  add_version(program);
  add_completion(program);
  return program.run(argc, argv);
}
