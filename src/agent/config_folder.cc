#include "agent/config_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <sstream>

#include "sys/files.h"

namespace weir {
namespace {

constexpr std::string_view kOfLines = "sysctl";  // its values may have spaces

// Levenshtein's distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  std::vector<std::string> out;
  for (std::string word; words >> word;) out.push_back(word);
  return out;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream lines(text);
  std::vector<std::string> out;
  for (std::string line; std::getline(lines >> std::ws, line);) {
    out.push_back(line.substr(0, line.find_last_not_of(" \t\r") + 1));
  }
  return out;
}

}  // namespace

std::string nearest_name(std::string_view word, const std::vector<std::string>& names) {
  std::string out;
  std::size_t best = std::max<std::size_t>(word.size() / 2, 3);
  for (const std::string& name : names) {
    if (const std::size_t far = distance(word, name); far < best) {
      best = far;
      out = name;
    }
  }
  return out;
}

Result<std::vector<std::string>> read_config_folder(const std::string& folder,
                                                    const std::vector<std::string>& settings) {
  if (access(folder.c_str(), R_OK | X_OK) != 0) return errno_error(errno, folder);
  WEIR_ASSIGN(const auto names, list_dir(folder));
  std::vector<std::string> out;
  for (const std::string& name : names) {
    if (std::ranges::find(settings, name) == settings.end()) {
      const std::string nearest = nearest_name(name, settings);
      return Error(Code::kInvalid,
                   fmt::format("{}/{}: no such setting{}", folder, name,
                               nearest.empty() ? "" : "; did you mean " + nearest + "?"));
    }
    WEIR_ASSIGN(const std::string text, read_file(folder + "/" + name));
    for (const std::string& value : name == kOfLines ? lines_of(text) : words_of(text)) {
      out.push_back("--" + name + "=" + value);
    }
  }
  return out;
}

Result<std::string> config_folder_text(const std::string& folder) {
  WEIR_ASSIGN(const auto names, list_dir(folder));
  std::string out;
  for (const std::string& name : names) {
    WEIR_ASSIGN(const std::string text, read_file(folder + "/" + name));
    out += name + "=" + text + "\n";
  }
  return out;
}

}  // namespace weir
