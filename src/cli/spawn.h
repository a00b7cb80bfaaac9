#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::cli {

struct ProgramOutput {
  int status = 0;  // as of a shell
  std::string out;
  std::string err;
};

// Starts a program of PATH with these descriptors; the pid. `err` may be -1: /dev/null. kNotFound:
// there is none.
Result<pid_t> spawn(const std::vector<std::string>& words, int in, int out, int err);

// Runs it to its end, with `in` as standard input.
Result<ProgramOutput> run_program(const std::vector<std::string>& words, std::string_view in = {});

}  // namespace weir::cli
