#include "cli/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <sstream>
#include <system_error>

#include "base/result.h"
#include "base/version.h"
#include "cli/say.h"

namespace weir::cli {
namespace {

constexpr const char* kAbout =
    "weir: networking for Kubernetes pods in eBPF, every flow and every drop by name";

// One error and where to read on, for scripts and newcomers alike.
int usage_error(const CLI::App& app, const std::string& text) {
  const std::string name = app.get_parent() == nullptr
                               ? app.get_name()
                               : app.get_parent()->get_name() + " " + app.get_name();
  fmt::print(stderr, "{}: {}\nSee '{} --help'.\n", name, text, name);
  return kUsage;
}

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

}  // namespace

Command& Command::add(CLI::Option* option) {
  last_ = option;
  return *this;
}

Command& Command::option(const std::string& names, std::string& value, const std::string& help) {
  return add(app_.add_option(names, value, help)->type_name("TEXT"));
}

Command& Command::option(const std::string& names, std::uint64_t& value, const std::string& help) {
  const auto check = [](const std::string& text) {
    const bool good = !text.empty() && text.size() < 20 &&
                      text.find_first_not_of("0123456789") == std::string::npos;
    return good ? std::string() : fmt::format("'{}' is not a number", text);
  };
  return add(app_.add_option(names, value, help)->type_name("N")->check(check));
}

Command& Command::option(const std::string& names, std::vector<std::string>& values,
                         const std::string& help) {
  return add(app_.add_option(names, values, help)->allow_extra_args(false)->type_name("TEXT"));
}

Command& Command::flag(const std::string& names, bool& value, const std::string& help) {
  return add(app_.add_flag(names, value, help));
}

Command& Command::output(Output& value) {
  add(app_.add_option_function<std::string>(
              "-o,--output",
              [&value](const std::string& text) {
                value = text == "json" ? Output::kJson : Output::kText;
              },
              "How to write the answer")
          ->type_name("FORMAT"));
  return one_of({"text", "json"});
}

Command& Command::argument(const std::string& name, std::string& value, const std::string& help,
                           bool required) {
  return add(app_.add_option(name, value, help)->required(required)->type_name(""));
}

Command& Command::argument(const std::string& name, std::vector<std::string>& values,
                           const std::string& help, bool required) {
  return add(app_.add_option(name, values, help)->required(required)->type_name(""));
}

Command& Command::placeholder(const std::string& text) {
  last_->type_name(text);
  return *this;
}

Command& Command::required() {
  last_->required();
  return *this;
}

Command& Command::one_of(const std::vector<std::string>& values) {
  choices_[last_] = values;
  std::string list;
  for (const std::string& value : values) list += (list.empty() ? "" : "|") + value;
  last_->type_name(list);
  last_->check([values, list](const std::string& text) {
    const bool known = std::find(values.begin(), values.end(), text) != values.end();
    return known ? std::string() : fmt::format("'{}' is not {}", text, list);
  });
  return *this;
}

Command& Command::examples(const std::string& text) {
  std::istringstream lines(text);
  std::string footer = "Examples:";
  for (std::string line; std::getline(lines, line);) footer += "\n  " + line;
  app_.footer(footer);
  return *this;
}

Command& Command::hidden() {
  app_.group("");
  return *this;
}

Command& Command::raw(std::vector<std::string>& words) {
  raw_ = &words;
  app_.prefix_command();
  app_.set_help_flag();
  return *this;
}

Command& Command::run(std::function<int()> action) {
  action_ = std::move(action);
  return *this;
}

struct Program::Parts {
  explicit Parts(bool is_plugin)
      : plugin(is_plugin), name(plugin ? "kubectl weir" : "weir"), app(kAbout, name) {}
  bool plugin;
  std::string name;
  CLI::App app;
  std::deque<Command> commands;
};

Program::Program(bool plugin) : parts_(std::make_unique<Parts>(plugin)) {
  CLI::App& app = parts_->app;
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", fmt::format("weir {}", kVersion), "Print the version and exit");
  app.get_formatter()->column_width(34);
  app.footer(fmt::format("'{} VERB --help' tells more, with examples.", parts_->name));
}

Program::~Program() = default;

bool Program::is_plugin() const { return parts_->plugin; }

Command& Program::verb(const std::string& name, const std::string& help) {
  return parts_->commands.emplace_back(*parts_->app.add_subcommand(name, help), parts_->plugin);
}

int Program::run_verb(int argc, const char* const* argv) {
  CLI::App& app = parts_->app;
  const auto chosen = [&]() -> const CLI::App& {
    const auto subcommands = app.get_subcommands();
    return subcommands.empty() ? app : *subcommands.front();
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", chosen().help(&chosen() == &app ? "" : parts_->name));
    return kOk;
  } catch (const CLI::CallForVersion& version) {
    fmt::print("{}\n", version.what());
    return kOk;
  } catch (const CLI::ExtrasError&) {
    const auto words = chosen().remaining(true);
    const std::string word = words.empty() ? "" : words.front();
    const bool no_verb = &chosen() == &app && !word.starts_with("-");
    return usage_error(chosen(), fmt::format("{} '{}'", no_verb ? "no verb" : "what is", word));
  } catch (const CLI::ParseError& error) {
    return usage_error(chosen(), error.what());
  }
  for (const Command& command : parts_->commands) {
    if (!command.app_.parsed()) continue;
    if (command.raw_ != nullptr) *command.raw_ = command.app_.remaining();
    return command.action_();
  }
  fmt::print("{}", app.help());
  return kOk;
}

int Program::run(int argc, const char* const* argv) {
  try {
    const int code = run_verb(argc, argv);
    if (std::fflush(stdout) == 0 || code != kOk) return code;
    say(errno_error(errno, "cannot write to stdout").text());
  } catch (const std::system_error& failed) {  // fmt::print's, of a result that nobody takes
    say(failed.what());
  }
  return kError;
}

std::vector<Program::Verb> Program::verbs() const {
  std::vector<Verb> verbs;
  for (const Command& command : parts_->commands) {
    if (command.app_.get_group().empty()) continue;
    Verb& verb =
        verbs.emplace_back(Verb{command.app_.get_name(), command.app_.get_description(), {}, {}});
    for (CLI::Option* option : command.app_.get_options()) {
      const auto choices = command.choices_.find(option);
      const auto values =
          choices == command.choices_.end() ? std::vector<std::string>() : choices->second;
      if (option->get_positional()) {
        if (verb.arguments.empty()) verb.arguments = values;
        continue;
      }
      verb.options.push_back({names_of(*option), values, option->get_description(),
                              option->get_items_expected_max() > 0});
    }
  }
  return verbs;
}

}  // namespace weir::cli
