#include "case.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "k8s/object.h"
#include "k8s/yaml.h"

namespace weir::cases {
namespace {

using k8s::Yaml;
using Words = std::vector<std::string>;

Error wrong(std::string text) { return {Code::kInvalid, std::move(text)}; }

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path);
  if (!in) return wrong(path + ": cannot be read");
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string to_json(const Yaml& yaml);

std::string items_to_json(const Yaml& yaml, bool with_keys) {
  std::string out;
  for (std::size_t i = 0; i < yaml.items.size(); ++i) {
    if (i > 0) out += ",";
    if (with_keys) out += quoted(yaml.keys[i]) + ":";
    out += to_json(yaml.items[i]);
  }
  return out;
}

std::string to_json(const Yaml& yaml) {
  switch (yaml.type) {
    case Yaml::Type::kNull:
      return "null";
    case Yaml::Type::kBool:
    case Yaml::Type::kNumber:
      return yaml.text;
    case Yaml::Type::kText:
      return quoted(yaml.text);
    case Yaml::Type::kList:
      return fmt::format("[{}]", items_to_json(yaml, false));
    case Yaml::Type::kMap:
      return fmt::format("{{{}}}", items_to_json(yaml, true));
  }
  return "null";
}

Result<std::vector<Object>> read_objects(const std::string& path) {
  WEIR_ASSIGN(const std::string text, read_text(path));
  const k8s::YamlFile yaml = k8s::parse_yaml(text);
  if (yaml.error) return wrong(fmt::format("{}:{}: {}", path, yaml.error->line, yaml.error->text));
  std::vector<Object> out;
  for (const Yaml& document : yaml.documents) {
    auto object = parse_object(to_json(document));
    if (!object) return object.error().within(fmt::format("{}:{}", path, document.line));
    out.push_back(std::move(*object));
  }
  return out;
}

Result<std::uint32_t> number(const std::string& text) {
  std::uint32_t out = 0;
  const char* end = text.data() + text.size();
  const auto [stop, ec] = std::from_chars(text.data(), end, out);
  if (ec != std::errc() || stop != end) return wrong(fmt::format("'{}' is not a number", text));
  return out;
}

// "name=value" -> value; empty: another word.
std::string value_of(const std::string& word, std::string_view name) {
  return word.starts_with(fmt::format("{}=", name)) ? word.substr(name.size() + 1) : "";
}

Result<Mac> read_mac(const std::string& text) {
  std::array<unsigned, 6> bytes{};
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &bytes[0], &bytes[1], &bytes[2],
                  &bytes[3], &bytes[4], &bytes[5]) != 6) {
    return wrong(fmt::format("'{}' is not a MAC address", text));
  }
  Mac out{};
  for (std::size_t i = 0; i < 6; ++i) out[i] = static_cast<std::uint8_t>(bytes[i]);
  return out;
}

Result<Endpoint> read_endpoint(const Words& words) {
  if (words.size() < 5) {
    return wrong("endpoint add HANDLE NAMESPACE/POD ifindex=N mac=MAC ADDRESS...");
  }
  Endpoint out;
  WEIR_ASSIGN(out.handle, number(words[2]));
  const auto slash = words[3].find('/');
  out.pod_namespace = words[3].substr(0, slash);
  out.pod_name = words[3].substr(slash + 1);
  for (auto word = words.begin() + 4; word != words.end(); ++word) {
    if (const auto netns = value_of(*word, "netns"); !netns.empty()) {
      WEIR_ASSIGN(out.netns_cookie, number(netns));
    } else if (const auto ifindex = value_of(*word, "ifindex"); !ifindex.empty()) {
      WEIR_ASSIGN(out.host_ifindex, number(ifindex));
    } else if (const auto mac = value_of(*word, "mac"); !mac.empty()) {
      WEIR_ASSIGN(out.mac, read_mac(mac));
    } else {
      WEIR_ASSIGN(auto address, Address::parse(*word));
      out.addresses.push_back(address);
    }
  }
  return out;
}

class Reader {
 public:
  explicit Reader(std::string folder) : folder_(std::move(folder)) {}

  Result<void> line(const std::string& text, int number) {
    std::istringstream stream(text.substr(0, text.find('#')));
    const Words words{std::istream_iterator<std::string>(stream), {}};
    if (words.empty()) return {};
    line_ = number;
    const std::string& verb = words[0];
    if (verb == "config") return config(words);
    if (verb == "apply" || verb == "delete") return objects(words);
    if (verb == "endpoint") return endpoint(words);
    if (verb.starts_with("expect")) return expectation(words);
    return wrong(fmt::format("unknown verb '{}'", verb));
  }

  Case take() { return std::move(case_); }

 private:
  Result<void> config(const Words& words) {
    for (auto word = words.begin() + 1; word != words.end(); ++word) {
      if (const auto node = value_of(*word, "node"); !node.empty()) {
        case_.config.name = node;
      } else if (const auto tunnel = value_of(*word, "tunnel"); !tunnel.empty()) {
        case_.config.tunnel = tunnel == "on";
      } else if (const auto netns = value_of(*word, "netns"); !netns.empty()) {
        WEIR_ASSIGN(case_.config.netns_cookie, number(netns));
      } else {
        WEIR_ASSIGN(auto address, Address::parse(value_of(*word, "address")));
        case_.config.addresses.push_back(address);
      }
    }
    return {};
  }

  Result<void> objects(const Words& words) {
    Step step;
    for (auto word = words.begin() + 1; word != words.end(); ++word) {
      WEIR_ASSIGN(auto read, read_objects(fmt::format("{}/objects/{}", folder_, *word)));
      for (Object& object : read) {
        if (words[0] == "apply") {
          step.events.emplace_back(Upsert{std::move(object)});
        } else {
          step.events.emplace_back(Erase{kind_of(object), key_of(object)});
        }
      }
    }
    case_.steps.push_back(std::move(step));
    return {};
  }

  Result<void> endpoint(const Words& words) {
    Step step;
    if (words.size() == 3 && words[1] == "delete") {
      WEIR_ASSIGN(const auto handle, number(words[2]));
      step.events.emplace_back(EraseEndpoint{handle});
    } else {
      WEIR_ASSIGN(auto added, read_endpoint(words));
      step.events.emplace_back(std::move(added));
    }
    case_.steps.push_back(std::move(step));
    return {};
  }

  Result<void> expectation(const Words& words) {
    using Type = Expectation::Type;
    Expectation out{.type = Type::kEntry, .map = {}, .key = {}, .fields = {}, .line = line_};
    auto rest = words.begin() + 1;
    if (words[0] == "expect-conflict" || words[0] == "expect-no-conflict") {
      out.type = words[0] == "expect-conflict" ? Type::kConflict : Type::kNoConflict;
      out.fields.push_back(fmt::format("{}", fmt::join(rest, words.end(), " ")));
    } else if (words.size() < 3) {
      return wrong("expect MAP KEY FIELD=VALUE...");
    } else {
      if (words[0] == "expect-none") out.type = Type::kNoEntry;
      out.map = *rest++;
      out.key = *rest++;
      out.fields.assign(rest, words.end());
    }
    if (case_.steps.empty()) return wrong("nothing has happened yet");
    case_.steps.back().expectations.push_back(std::move(out));
    return {};
  }

  std::string folder_;
  Case case_;
  int line_ = 0;
};

}  // namespace

Result<Case> read_case(const std::string& path, const std::string& folder) {
  WEIR_ASSIGN(const std::string text, read_text(path));
  std::istringstream lines(text);
  Reader reader(folder);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (auto read = reader.line(line, number); !read) {
      return read.error().within(fmt::format("{}:{}", path, number));
    }
  }
  return reader.take();
}

}  // namespace weir::cases
