#pragma once

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

// For benches of one program by BPF_PROG_TEST_RUN.
namespace weir::alone {

inline constexpr int kCpu = 1;

// From now on nothing else runs on this CPU.
inline void take_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(kCpu, &set);
  sched_param param{};
  param.sched_priority = 50;
  if (sched_setaffinity(0, sizeof set, &set) != 0 || sched_setscheduler(0, SCHED_FIFO, &param) != 0)
    throw std::runtime_error("a CPU of its own");
}

// Nanoseconds of one repetition, by the kernel's clock: to run an XDP program it waits for RCU,
// before and after.
inline double timed(int program, bpf_test_run_opts& options, int verdict) {
  const int err = bpf_prog_test_run_opts(program, &options);
  if (err != 0 || static_cast<int>(options.retval) != verdict)
    throw std::runtime_error(
        fmt::format("test run: {}, verdict {}", err, static_cast<int>(options.retval)));
  return options.duration;
}

// Sorts; q of 4 quarters.
inline double quartile(std::vector<double>& values, std::size_t q) {
  std::ranges::sort(values);
  return values[(values.size() - 1) * q / 4];
}

}  // namespace weir::alone
