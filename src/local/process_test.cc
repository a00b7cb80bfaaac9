#include "local/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/cni.h"
#include "local/init.h"
#include "local/job.h"

namespace weir::local {
namespace {

using std::chrono::seconds;

TEST(Process, StartIsReadBehindAnyName) {
  const auto start =
      parse_start("42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 1 2 3 4 20 0 1 0 98765 1000 20");
  ASSERT_TRUE(start);
  EXPECT_EQ(*start, 98765U);
  EXPECT_FALSE(parse_start("42 (x"));
  EXPECT_FALSE(parse_start("42 (x) S 1 2 3"));
}

TEST(Process, AnotherProcessWithThePidIsNotIt) {
  auto self = identify(getpid());
  ASSERT_TRUE(self);
  EXPECT_TRUE(is_alive(*self));
  self->start += 1;
  EXPECT_FALSE(is_alive(*self));
  EXPECT_TRUE(signal_process(*self, SIGKILL));  // reaches nobody
}

TEST(Process, CorpsesAreGone) {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(identify(pid));
  waitpid(pid, nullptr, 0);
}

TEST(Process, RecordIsReadBack) {
  const Process process{123, 456};
  const auto again = parse_process(to_json(process));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, process);
  for (const char* text : {"", "{}", "[]", R"({"pid":"1","start":2})", R"({"pid":1})"}) {
    EXPECT_FALSE(parse_process(text)) << text;
  }
}

TEST(Start, FailureToExecIsAnError) {
  Launch launch;
  launch.argv = {"/nonexistent/program"};
  const auto started = start(launch);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Code::kNotFound);
}

TEST(Start, EndsThoseThatIgnoreTermination) {
  Launch launch;
  launch.argv = {"/bin/sh", "-c", "trap '' TERM; while :; do read x </dev/zero; done"};
  const auto started = start(launch);
  ASSERT_TRUE(started) << started.error().text();
  EXPECT_TRUE(end_processes({started->process}, std::chrono::milliseconds(50)));
  EXPECT_FALSE(is_alive(started->process));
}

TEST(Job, GivesOutputAndCode) {
  Loop loop;
  JobResult result;
  Launch launch;
  launch.argv = {"/bin/sh", "-c", "cat; echo oops >&2; exit 7"};
  auto job = Job::start(loop, launch, "input", seconds(10), [&](const JobResult& r) {
    result = r;
    loop.stop();
  });
  ASSERT_TRUE(job) << job.error().text();
  loop.run();
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.output, "input");
  EXPECT_EQ(result.errors, "oops\n");
}

TEST(Job, IsEndedWhenItTakesTooLong) {
  Loop loop;
  int code = 0;
  Launch launch;
  launch.argv = {"/bin/sleep", "60"};
  auto job = Job::start(loop, launch, "", std::chrono::milliseconds(20), [&](const JobResult& r) {
    code = r.code;
    loop.stop();
  });
  ASSERT_TRUE(job);
  loop.run();
  EXPECT_EQ(code, 124);
}

TEST(Loop, TimersRunInOrderAndCanBeRemoved) {
  Loop loop;
  std::string order;
  loop.after(std::chrono::milliseconds(20), [&] { loop.stop(); });
  loop.after(std::chrono::milliseconds(2), [&] { order += 'b'; });
  loop.after(std::chrono::milliseconds(1), [&] { order += 'a'; });
  loop.remove(loop.after(std::chrono::milliseconds(3), [&] { order += 'c'; }));
  loop.run();
  EXPECT_EQ(order, "ab");
}

TEST(Cni, AnswersAreRead) {
  const auto good = parse_cni_answer(
      "ADD", {0, R"({"ips":[{"address":"10.0.0.1/32"},{"address":"fd00::1/128"}]})", ""});
  EXPECT_EQ(good.code, 0);
  ASSERT_EQ(good.addresses.size(), 2U);
  EXPECT_EQ(good.addresses[1].to_string(), "fd00::1");
  const auto away = parse_cni_answer("ADD", {1, R"({"code":11,"msg":"away","details":"d"})", ""});
  EXPECT_EQ(away.code, kCniTryAgain);
  EXPECT_EQ(away.message, "away: d");
  EXPECT_NE(parse_cni_answer("ADD", {0, "garbage", ""}).code, 0);
  EXPECT_NE(parse_cni_answer("ADD", {1, "garbage", "why"}).code, 0);
  EXPECT_NE(parse_cni_answer("ADD", {0, R"({"ips":[{"address":7}]})", ""}).code, 0);
  EXPECT_EQ(parse_cni_answer("DEL", {0, "", ""}).code, 0);
}

TEST(Init, SpecAndReportsAreReadBack) {
  InitSpec spec;
  spec.hostname = "a";
  spec.restart = Restart::kNever;
  spec.mounts = {{"/source", "/run/target"}};
  spec.containers = {{"c", {"sh", "-c", "x y"}, {"A=1"}, "/log"}};
  const auto again = parse_init_spec(to_json(spec));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(*again), to_json(spec));
  const auto report = parse_report(to_text({InitReport::Type::kExited, 3, 137, ""}));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->container, 3U);
  EXPECT_EQ(report->code, 137);
  EXPECT_EQ(parse_report("broken a b")->text, "a b");
  EXPECT_EQ(*parse_stop(stop_command(3)), 3U);
  for (const char* text : {"", "stop", "stop ", "stop x", "stop 1 ", "start 1"}) {
    EXPECT_FALSE(parse_stop(text)) << text;
  }
  EXPECT_FALSE(parse_report("exited x"));
  EXPECT_FALSE(parse_report("hello 1"));
}

}  // namespace
}  // namespace weir::local
