#pragma once

#include "cli/command.h"

// The verbs of `weir`, one file each (<verb>.cc); main.cc adds them in this order.
namespace weir::cli {

void add_up(Program& program);
void add_down(Program& program);
void add_apply(Program& program);
void add_delete(Program& program);
void add_exec(Program& program);
void add_logs(Program& program);
// What `weir up` runs for itself.
void add_local_hidden(Program& program);

void add_install(Program& program);
void add_uninstall(Program& program);
void add_test(Program& program);
void add_sysdump(Program& program);

void add_status(Program& program);
void add_endpoints(Program& program);
void add_services(Program& program);
void add_monitor(Program& program);
void add_capture(Program& program);
void add_version(Program& program);
void add_completion(Program& program);
// What `kubectl weir` runs beside an agent.
void add_relay(Program& program);
// What `weir test` runs in its pods.
void add_answer(Program& program);

}  // namespace weir::cli
