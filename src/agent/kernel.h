#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/result.h"

namespace weir {

// This machine's kernel, as far as Weir needs to know it.
struct Kernel {
  std::string release;             // as of uname -r
  bool has_types = false;          // BTF: what the programs are fitted to it by
  std::uint64_t capabilities = 0;  // of this process, a bit each

  static Kernel ask();
};

// kKernel or kDenied: what is missing, by its name, and the remedy.
Result<void> check(const Kernel& kernel);

// Why there is no VXLAN device, with the remedy if the kernel knows none.
Error explain_vxlan(const Error& error);

}  // namespace weir
