#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

// The command line as the verbs see it. command.cc alone knows the parsing library.
namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace weir::cli {

// What a verb's function returns, and the process with it.
inline constexpr int kOk = 0;
inline constexpr int kError = 1;
inline constexpr int kUsage = 2;
inline constexpr int kNothing = 3;  // nothing found, or nobody answers

enum class Output { kText, kJson };

// One verb. Options and arguments write into variables that must live until Program::run returns:
// hold them in a shared_ptr that the run function captures.
class Command {
 public:
  Command(CLI::App& app, bool plugin) : app_(app), plugin_(plugin) {}
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // names: "-n,--namespace". Reading a value of the wrong kind is a usage error.
  Command& option(const std::string& names, std::string& value, const std::string& help);
  Command& option(const std::string& names, std::uint64_t& value, const std::string& help);
  // May be given several times.
  Command& option(const std::string& names, std::vector<std::string>& values,
                  const std::string& help);
  Command& flag(const std::string& names, bool& value, const std::string& help);
  // -o text|json
  Command& output(Output& value);
  // A positional argument. The vector takes all that are left, also what follows `--`.
  Command& argument(const std::string& name, std::string& value, const std::string& help,
                    bool required = true);
  Command& argument(const std::string& name, std::vector<std::string>& values,
                    const std::string& help, bool required = true);
  // Words for the placeholder of the option just named: "NS/POD".
  Command& placeholder(const std::string& text);
  // The option just named must be given.
  Command& required();
  // Allowed values of the option or argument just named.
  Command& one_of(const std::vector<std::string>& values);
  // Shown below the options of --help, one example per line: "weir status -o json".
  Command& examples(const std::string& text);
  // Left out of help and completion.
  Command& hidden();
  // Every word after the verb is an argument, flags too.
  Command& raw(std::vector<std::string>& words);
  Command& run(std::function<int()> action);
  // The program is kubectl-weir: it asks clusters, and nothing of this machine.
  bool is_plugin() const { return plugin_; }

 private:
  friend class Program;
  Command& add(CLI::Option* option);

  CLI::App& app_;
  bool plugin_;
  CLI::Option* last_ = nullptr;
  std::map<CLI::Option*, std::vector<std::string>> choices_;
  std::vector<std::string>* raw_ = nullptr;
  std::function<int()> action_;
};

class Program {
 public:
  // plugin: it is called as `kubectl weir`.
  explicit Program(bool plugin = false);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  bool is_plugin() const;
  Command& verb(const std::string& name, const std::string& help);
  // Parses and runs the verb; prints help or the usage error itself. The exit code, kError where
  // the result could not be written.
  int run(int argc, const char* const* argv);

  // What completion offers: verbs that are not hidden.
  struct Choice {
    std::vector<std::string> names;   // "-o", "--output"
    std::vector<std::string> values;  // when only these are allowed
    std::string help;
    bool takes_value = false;
  };
  struct Verb {
    std::string name;
    std::string help;
    std::vector<Choice> options;
    std::vector<std::string> arguments;  // allowed values of the first argument
  };
  std::vector<Verb> verbs() const;

 private:
  int run_verb(int argc, const char* const* argv);

  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace weir::cli
