// What the measurements of this folder share: a quiet CPU, BPF_PROG_TEST_RUN, medians.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

namespace doubt {

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

// One CPU for this process, ahead of everything ordinary on it.
inline void take_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) die("sched_setaffinity");
  sched_param param{};
  param.sched_priority = 50;
  if (sched_setscheduler(0, SCHED_FIFO, &param)) die("sched_setscheduler");
}

inline double now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// Nanoseconds per run of `prog_fd`; every run must return `expect`.
inline double test_run(int prog_fd, unsigned repeat, unsigned expect = 0) {
  unsigned char packet[64] = {};
  LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof packet,
              .repeat = static_cast<int>(repeat));
  const double start = now_ns();
  if (bpf_prog_test_run_opts(prog_fd, &opts)) die("BPF_PROG_TEST_RUN");
  const double took = now_ns() - start;
  if (opts.retval != expect) {
    std::fprintf(stderr, "program returned %u\n", opts.retval);
    std::exit(1);
  }
  return took / repeat;
}

struct Stats {
  double median, low, high;  // low, high: the quartiles
};

inline Stats stats(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return {v[v.size() / 2], v[v.size() / 4], v[v.size() * 3 / 4]};
}

inline bpf_program* program(bpf_object* object, const char* name) {
  bpf_program* p = bpf_object__find_program_by_name(object, name);
  if (!p) die(std::string("no program ") + name);
  return p;
}

inline int quiet(libbpf_print_level, const char*, va_list) { return 0; }

inline std::string object_path(const char* argv0, const char* name) {
  const std::string self = argv0;
  return self.substr(0, self.rfind('/') + 1) + name + ".bpf.o";
}

}  // namespace doubt
