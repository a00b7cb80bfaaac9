// A CNI request becomes a checked value; everything wrong with it is found here.
#include "sandbox/cni_request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sandbox/runtime_config.h"

namespace weir::cni {
namespace {

using Json = nlohmann::json;
using Wrong = std::optional<Failure>;

constexpr int kMaxDepth = 64;

// The JSON library writes nested values by recursion, so their depth must have a bound.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (depth > kMaxDepth) return true;
  }
  return false;
}

Failure wrong(int code, std::string message, std::string details = {}) {
  return {code, std::move(message), std::move(details)};
}

// Text of a member; absent is empty.
Wrong take_string(const Json& object, const char* key, std::string& into, int code) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  if (!found->is_string()) return wrong(code, fmt::format("'{}' is not a string", key));
  into = found->get<std::string>();
  if (into.find('\0') != std::string::npos) {
    return wrong(code, fmt::format("'{}' contains a zero byte", key));
  }
  return {};
}

std::optional<Command> command_of(std::string_view name) {
  if (name == "ADD") return Command::kAdd;
  if (name == "DEL") return Command::kDel;
  if (name == "CHECK") return Command::kCheck;
  if (name == "GC") return Command::kGc;
  if (name == "STATUS") return Command::kStatus;
  return std::nullopt;
}

Wrong take_requested(std::string_view list, Request& request) {
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    const auto address = Address::parse(list.substr(0, comma));
    if (!address) {
      return wrong(kInvalidEnvironment, "CNI_ARGS: IP: " + address.error().text());
    }
    if (auto bad = want_address(*address, "CNI_ARGS: IP", request)) {
      bad->code = kInvalidEnvironment;
      return bad;
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return {};
}

// "K8S_POD_NAME=cart-0;K8S_POD_NAMESPACE=shop;IP=10.244.0.9"; unknown keys are for others.
Wrong take_args(std::string_view args, Request& request) {
  while (!args.empty()) {
    const auto end = std::min(args.find(';'), args.size());
    const auto pair = args.substr(0, end);
    args.remove_prefix(std::min(end + 1, args.size()));
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return wrong(kInvalidEnvironment, fmt::format("CNI_ARGS: '{}' is no KEY=VALUE", pair));
    }
    const auto key = pair.substr(0, equals);
    const auto value = pair.substr(equals + 1);
    if (key == "K8S_POD_NAMESPACE") request.pod_namespace = value;
    if (key == "K8S_POD_NAME") request.pod_name = value;
    if (key == "K8S_POD_UID") request.pod_uid = value;
    if (key == "IP") {
      if (auto bad = take_requested(value, request)) return bad;
    }
  }
  return {};
}

Wrong take_attached(const Json& config, Request& request) {
  const auto list = config.find("cni.dev/valid-attachments");
  if (list == config.end() || !list->is_array()) {
    return wrong(kInvalidConfig, "GC without the list 'cni.dev/valid-attachments'");
  }
  for (const auto& one : *list) {
    AttachmentId id;
    if (!one.is_object()) return wrong(kInvalidConfig, "'cni.dev/valid-attachments' is malformed");
    if (auto bad = take_string(one, "containerID", id.container_id, kInvalidConfig)) return bad;
    if (auto bad = take_string(one, "ifname", id.ifname, kInvalidConfig)) return bad;
    request.attached.push_back(std::move(id));
  }
  return {};
}

Wrong take_config(const Json& config, Request& request) {
  if (auto bad = take_string(config, "name", request.network, kInvalidConfig)) return bad;
  if (request.network.empty()) return wrong(kInvalidConfig, "the configuration has no 'name'");
  const auto previous = config.find("prevResult");
  if (previous != config.end() && !previous->is_null()) {
    if (!previous->is_object()) return wrong(kInvalidConfig, "'prevResult' is not an object");
    request.previous = previous->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  if (request.command == Command::kGc) return take_attached(config, request);
  // DEL gets the same, and may not fail for what ADD never took.
  if (request.command == Command::kAdd) return take_runtime_config(config, request);
  return {};
}

Wrong take_environment(const Json& document, Request& request) {
  std::string args;
  for (auto [key, into] : {std::pair("containerID", &request.id.container_id),
                           {"ifname", &request.id.ifname},
                           {"netns", &request.netns},
                           {"args", &args}}) {
    if (auto bad = take_string(document, key, *into, kInvalidEnvironment)) return bad;
  }
  if (request.command == Command::kGc || request.command == Command::kStatus) return {};
  std::string_view fault = container_id_fault(request.id.container_id);
  if (fault.empty()) fault = ifname_fault(request.id.ifname);
  if (fault.empty() && request.command != Command::kDel) fault = netns_fault(request.netns);
  if (!fault.empty()) return wrong(kInvalidEnvironment, std::string(fault));
  return take_args(args, request);
}

Wrong take_version(const Json& config, ParsedRequest& parsed, Request& request) {
  if (auto bad = take_string(config, "cniVersion", request.version, kDecodingFailure)) return bad;
  if (!is_supported(request.version)) {
    return wrong(kIncompatibleVersion,
                 fmt::format("CNI version '{}' is not supported", request.version),
                 "supported: 0.4.0, 1.0.0, 1.1.0");
  }
  parsed.answer_version = request.version;
  return {};
}

Wrong parse_into(std::string_view text, ParsedRequest& parsed, Request& request) {
  if (text.size() > kMaxRequestBytes) return wrong(kDecodingFailure, "the request is over 1 MiB");
  if (too_deep(text)) return wrong(kDecodingFailure, "the request is nested too deeply");
  const auto document = Json::parse(text, nullptr, false);
  if (!document.is_object()) return wrong(kDecodingFailure, "the request is not a JSON object");
  const auto config = document.find("config");
  if (config == document.end() || !config->is_object()) {
    return wrong(kDecodingFailure, "the network configuration is not a JSON object");
  }
  if (auto bad = take_version(*config, parsed, request)) return bad;
  std::string command;
  if (auto bad = take_string(document, "command", command, kInvalidEnvironment)) return bad;
  const auto known = command_of(command);
  if (!known) return wrong(kInvalidEnvironment, fmt::format("unknown CNI_COMMAND '{}'", command));
  request.command = *known;
  if (auto bad = take_environment(document, request)) return bad;
  return take_config(*config, request);
}

}  // namespace

ParsedRequest parse_request(std::string_view document) {
  ParsedRequest parsed;
  Request request;
  if (auto bad = parse_into(document, parsed, request)) {
    parsed.failure = std::move(*bad);
  } else {
    parsed.request = std::move(request);
  }
  return parsed;
}

std::string success_answer(std::string_view result_json) {
  return fmt::format(R"({{"result":{}}})", result_json);
}

std::string failure_answer(const std::string& version, const Failure& failure) {
  Json error = {{"cniVersion", version}, {"code", failure.code}, {"msg", failure.message}};
  if (!failure.details.empty()) error["details"] = failure.details;
  return Json{{"error", std::move(error)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace weir::cni
