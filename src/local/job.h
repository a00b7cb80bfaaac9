#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "local/loop.h"
#include "local/process.h"

namespace weir::local {

struct JobResult {
  int code = 0;  // exit code, 128 + signal, or 124: it took too long
  std::string output;
  std::string errors;
};

// A program that runs to its end while the loop goes on. Ending the Job early kills it and forgets
// the callback.
class Job {
 public:
  using Done = std::function<void(JobResult)>;

  // `done` is called from the loop; it may destroy the Job.
  static Result<std::unique_ptr<Job>> start(Loop& loop, Launch launch, const std::string& input,
                                            Clock::duration limit, Done done);
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

 private:
  Job(Loop& loop, int end_signal) : loop_(loop), end_signal_(end_signal) {}
  void finish();
  void end();

  Loop& loop_;
  int end_signal_;
  Fd pidfd_;
  Fd out_;
  Fd err_;
  Done done_;
  bool late_ = false;
  Loop::Id watch_ = 0;
  Loop::Id timer_ = 0;
};

// Runs a command in a container of a pod, as `weir exec` does.
using ExecInPod = std::function<Result<std::unique_ptr<Job>>(
    const std::vector<std::string>& argv, Clock::duration limit, Job::Done done)>;

}  // namespace weir::local
