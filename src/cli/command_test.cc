#include "cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "cli/agents.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

using testing::HasSubstr;

struct Given {
  std::string text;
  std::uint64_t number = 0;
  std::vector<std::string> many;
  std::vector<std::string> words;
  bool flag = false;
  Output output = Output::kText;
};

int run(Given& given, std::vector<const char*> words) {
  Program program;
  program.verb("go", "Goes")
      .option("--text", given.text, "A text")
      .option("--number", given.number, "A number")
      .option("--many", given.many, "Some")
      .flag("-f,--flag", given.flag, "A flag")
      .output(given.output)
      .argument("words", given.words, "The rest", false)
      .run([] { return 42; });
  std::vector<std::string> raw;
  program.verb("inner", "Hidden").hidden().raw(given.words).run([] { return 43; });
  words.insert(words.begin(), "weir");
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const int code = program.run(static_cast<int>(words.size()), words.data());
  given.text += testing::internal::GetCapturedStderr();
  given.text += testing::internal::GetCapturedStdout();
  return code;
}

TEST(Program, TakesOptionsAndArguments) {
  Given given;
  EXPECT_EQ(run(given, {"go", "--text", "a", "--number=7", "--many", "x", "word", "--many", "y",
                        "-f", "-o", "json"}),
            42);
  EXPECT_EQ(given.text, "a");
  EXPECT_EQ(given.number, 7U);
  EXPECT_EQ(given.many, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(given.words, (std::vector<std::string>{"word"}));
  EXPECT_TRUE(given.flag);
  EXPECT_EQ(given.output, Output::kJson);
}

TEST(Program, EverythingBehindTwoDashesIsAnArgument) {
  Given given;
  EXPECT_EQ(run(given, {"go", "--", "ls", "-l", "--text", "go"}), 42);
  EXPECT_EQ(given.words, (std::vector<std::string>{"ls", "-l", "--text", "go"}));
}

TEST(Program, ARawVerbTakesAllWords) {
  Given given;
  EXPECT_EQ(run(given, {"inner", "--help", "-x", "y"}), 43);
  EXPECT_EQ(given.words, (std::vector<std::string>{"--help", "-x", "y"}));
}

TEST(Program, UsageErrorsAreOneLineAndWhereToReadOn) {
  const struct {
    std::vector<const char*> words;
    const char* says;
  } cases[] = {
      {{"gone"}, "weir: no verb 'gone'\nSee 'weir --help'.\n"},
      {{"go", "--colour"}, "weir go: what is '--colour'\nSee 'weir go --help'.\n"},
      {{"go", "--number", "x"}, "weir go: --number: 'x' is not a number\n"},
      {{"go", "--number", "-1"}, "weir go: --number: '-1' is not a number\n"},
      {{"go", "-o", "xml"}, "'xml' is not text|json\n"},
  };
  for (const auto& one : cases) {
    Given given;
    EXPECT_EQ(run(given, one.words), kUsage);
    EXPECT_THAT(given.text, HasSubstr(one.says));
  }
}

TEST(Program, HelpHidesWhatIsHidden) {
  Given given;
  EXPECT_EQ(run(given, {"--help"}), kOk);
  EXPECT_THAT(given.text, HasSubstr("Goes"));
  EXPECT_THAT(given.text, testing::Not(HasSubstr("inner")));
}

TEST(ProgramDeathTest, AResultThatCannotBeWrittenIsAnError) {
  const auto version_to = [](const char* path) {
    Program program;
    const char* words[] = {"weir", "--version"};
    if (std::freopen(path, "w", stdout) == nullptr) std::abort();
    std::_Exit(program.run(2, words));
  };
  EXPECT_EXIT(version_to("/dev/null"), testing::ExitedWithCode(kOk), "");
  EXPECT_EXIT(version_to("/dev/full"), testing::ExitedWithCode(kError),
              "weir: cannot write to stdout: No space left on device");
}

// Every verb has help with examples, and the scripts are such that the shells take them.
TEST(Verbs, HaveHelpExamplesAndCompletion) {
  for (const char* name : {"status", "endpoints", "monitor", "capture", "version", "completion"}) {
    Program program;
    add_status(program);
    add_endpoints(program);
    add_monitor(program);
    add_capture(program);
    add_version(program);
    add_completion(program);
    const char* words[] = {"weir", name, "--help"};
    testing::internal::CaptureStdout();
    EXPECT_EQ(program.run(3, words), kOk);
    EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("Examples:")) << name;
  }
  Program program;
  add_monitor(program);
  add_completion(program);
  const char* words[] = {"weir", "completion", "bash"};
  testing::internal::CaptureStdout();
  EXPECT_EQ(program.run(3, words), kOk);
  const std::string script = testing::internal::GetCapturedStdout();
  EXPECT_THAT(script, HasSubstr("'monitor --verdict') words='forwarded dropped' ;;"));
  EXPECT_THAT(script, HasSubstr("completion) words='bash zsh fish"));
}

class AgentsTest : public testing::Test {
 protected:
  AgentsTest() : base_(mkdtemp(template_)) {}
  ~AgentsTest() override { std::filesystem::remove_all(base_); }

  void make_socket(const std::string& path) {
    const std::string full = base_ + "/" + path;
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    full.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  AgentOptions options(const std::string& name, const std::string& node = "") {
    AgentOptions made;
    made.name = name;
    made.node = node;
    made.run_dir = base_ + "/local";
    return made;
  }

  std::vector<std::string> nodes(const AgentOptions& options) {
    std::vector<std::string> names;
    for (const Agent& agent :
         find_agents(options, base_ + "/agent.sock").value_or(std::vector<Agent>())) {
      names.push_back(agent.node);
    }
    return names;
  }

  char template_[32] = "/tmp/weir-cli-XXXXXX";
  std::string base_;
};

TEST_F(AgentsTest, LocalClusterFirstThenThisMachine) {
  const auto none = find_agents(options("default"), base_ + "/agent.sock");
  EXPECT_EQ(none.error().code(), Code::kNotFound);
  EXPECT_THAT(none.error().text(), HasSubstr("'weir up'"));
  make_socket("agent.sock");
  EXPECT_EQ(nodes(options("default")), (std::vector<std::string>{""}));
  make_socket("local/default/nodes/n1/run/agent.sock");
  make_socket("local/default/nodes/n0/run/agent.sock");
  EXPECT_EQ(nodes(options("default")), (std::vector<std::string>{"n0", "n1"}));
  EXPECT_EQ(nodes(options("default", "n1")), (std::vector<std::string>{"n1"}));
  EXPECT_TRUE(nodes(options("default", "n7")).empty());
  EXPECT_TRUE(nodes(options("other")).empty());
  AgentOptions by_path;
  by_path.socket = "/x";
  EXPECT_EQ(find_agents(by_path)->at(0).socket, "/x");
}

TEST_F(AgentsTest, NobodyBehindTheSocketIsSaid) {
  make_socket("agent.sock");
  const auto agents = find_agents(options("default"), base_ + "/agent.sock");
  const auto asked =
      ask_each(*agents, "/v1/status", [](const std::string&) -> Result<void> { return {}; });
  EXPECT_EQ(asked.error().code(), Code::kUnavailable);
  EXPECT_THAT(asked.error().text(), HasSubstr("no Weir agent answers: "));
}

}  // namespace
}  // namespace weir::cli
