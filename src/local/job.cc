#include "local/job.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weir::local {

Result<std::unique_ptr<Job>> Job::start(Loop& loop, Launch launch, const std::string& input,
                                        Clock::duration limit, Done done) {
  std::unique_ptr<Job> job(new Job(loop, launch.end_signal));
  WEIR_ASSIGN(const auto in, text_file(input));
  WEIR_ASSIGN(job->out_, text_file(""));
  WEIR_ASSIGN(job->err_, text_file(""));
  launch.in = in.get();
  launch.out = job->out_.get();
  launch.err = job->err_.get();
  WEIR_ASSIGN(auto started, local::start(launch));
  job->pidfd_ = std::move(started.pidfd);
  job->done_ = std::move(done);
  Job* self = job.get();
  job->watch_ = loop.watch(self->pidfd_.get(), POLLIN, [self] { self->finish(); });
  job->timer_ = loop.after(limit, [self] {
    self->late_ = true;
    self->end();
  });
  return job;
}

Job::~Job() {
  loop_.remove(watch_);
  loop_.remove(timer_);
  if (!done_) return;
  end();
  wait_for(pidfd_.get());
}

void Job::end() { syscall(SYS_pidfd_send_signal, pidfd_.get(), end_signal_, nullptr, 0); }

void Job::finish() {
  JobResult result;
  const int code = wait_for(pidfd_.get());
  result.code = late_ ? 124 : code;
  result.output = read_text_file(out_.get()).value_or("");
  result.errors = read_text_file(err_.get()).value_or("");
  loop_.remove(watch_);
  loop_.remove(timer_);
  const auto done = std::exchange(done_, nullptr);
  done(std::move(result));
}

}  // namespace weir::local
