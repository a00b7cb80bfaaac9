// Completion scripts, made from the verbs themselves.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "cli/verbs.h"

namespace weir::cli {
namespace {

using Verbs = std::vector<Program::Verb>;

std::vector<std::string> words_of(const Program::Verb& verb) {
  std::vector<std::string> words = verb.arguments;
  for (const auto& option : verb.options) {
    words.insert(words.end(), option.names.begin(), option.names.end());
  }
  return words;
}

std::vector<std::string> names_of(const Verbs& verbs) {
  std::vector<std::string> names;
  for (const auto& verb : verbs) names.push_back(verb.name);
  return names;
}

// In single quotes of a shell.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string bash(const Verbs& verbs) {
  std::string out =
      "_weir() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" verb=\"${COMP_WORDS[1]}\" before words\n"
      "  before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n";
  out += fmt::format("    words='{}'\n", fmt::join(names_of(verbs), " "));
  out += "  else case \"$verb $before\" in\n";
  for (const auto& verb : verbs) {
    for (const auto& option : verb.options) {
      for (const auto& name : option.names) {
        if (!option.values.empty()) {
          out += fmt::format("    '{} {}') words='{}' ;;\n", verb.name, name,
                             fmt::join(option.values, " "));
        }
      }
    }
  }
  out += "    *) case \"$verb\" in\n";
  for (const auto& verb : verbs) {
    out += fmt::format("      {}) words='{}' ;;\n", verb.name, fmt::join(words_of(verb), " "));
  }
  out +=
      "    esac ;;\n"
      "  esac; fi\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
      "}\n"
      "complete -o default -F _weir weir\n";
  return out;
}

std::string zsh(const Verbs& verbs) {
  std::string out = "#compdef weir\n_weir() {\n  local -a verbs words\n  verbs=(\n";
  for (const auto& verb : verbs) {
    std::string name = verb.name + ":" + verb.help;
    out += "    " + quoted(name) + "\n";
  }
  out += "  )\n  if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n";
  out += "  case \"$words[2] $words[CURRENT-1]\" in\n";
  for (const auto& verb : verbs) {
    for (const auto& option : verb.options) {
      for (const auto& name : option.names) {
        if (option.values.empty()) continue;
        out += fmt::format("    '{} {}') compadd {}; return ;;\n", verb.name, name,
                           fmt::join(option.values, " "));
      }
    }
  }
  out += "  esac\n  case \"$words[2]\" in\n";
  for (const auto& verb : verbs) {
    out += fmt::format("    {}) compadd -- {}; _files ;;\n", verb.name,
                       fmt::join(words_of(verb), " "));
  }
  out += "  esac\n}\ncompdef _weir weir\n";
  return out;
}

std::string fish_option(const Program::Verb& verb, const Program::Choice& option) {
  std::string out = fmt::format("complete -c weir -n '__fish_seen_subcommand_from {}'", verb.name);
  for (const auto& name : option.names) {
    out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.values.empty()) {
    out += fmt::format(" -xa '{}'", fmt::join(option.values, " "));
  } else if (option.takes_value) {
    out += " -r";
  }
  return out + " -d " + quoted(option.help) + "\n";
}

std::string fish(const Verbs& verbs) {
  std::string out;
  for (const auto& verb : verbs) {
    out += fmt::format("complete -c weir -n __fish_use_subcommand -xa {} -d {}\n", verb.name,
                       quoted(verb.help));
    for (const auto& option : verb.options) out += fish_option(verb, option);
    if (!verb.arguments.empty()) {
      out += fmt::format("complete -c weir -n '__fish_seen_subcommand_from {}' -xa '{}'\n",
                         verb.name, fmt::join(verb.arguments, " "));
    }
  }
  return out;
}

}  // namespace

void add_completion(Program& program) {
  auto shell = std::make_shared<std::string>();
  program.verb("completion", "The script that lets your shell complete weir's words")
      .argument("shell", *shell, "Which shell")
      .one_of({"bash", "zsh", "fish"})
      .examples(
          "source <(weir completion bash)\n"
          "weir completion zsh > \"${fpath[1]}/_weir\"\n"
          "weir completion fish > ~/.config/fish/completions/weir.fish")
      .run([shell, &program] {
        const auto verbs = program.verbs();
        fmt::print("{}", *shell == "bash"  ? bash(verbs)
                         : *shell == "zsh" ? zsh(verbs)
                                           : fish(verbs));
        return kOk;
      });
}

}  // namespace weir::cli
