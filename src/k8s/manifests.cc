// Files of YAML -> checked objects: reads them, gives each document to its kind's reader, and
// checks in the end what only all of them together can say.
#include "k8s/manifests.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "k8s/kinds.h"
#include "k8s/manifest_kinds.h"
#include "k8s/time.h"

namespace weir {
namespace {

namespace fs = std::filesystem;
using k8s::Field;
using k8s::Map;
using k8s::Report;
using k8s::Subject;
using k8s::Yaml;

constexpr std::size_t kMaxFile = 8U << 20;
constexpr std::size_t kPiece = 16384;
constexpr std::uint64_t kMaxPods = 1024;

// Reads all files into one result.
class Loader {
 public:
  explicit Loader(const std::set<std::string>& known_namespaces) : namespaces_(known_namespaces) {
    namespaces_.insert("default");
  }

  void load(const std::string& path) {
    std::error_code ec;
    if (!fs::is_directory(path, ec)) return load_file(path);
    std::vector<std::string> files;
    for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
      const auto extension = it->path().extension();
      if (extension == ".yaml" || extension == ".yml" || extension == ".json") {
        files.push_back(it->path().string());
      }
    }
    if (ec) return report_.error(fmt::format("{}: {}", path, ec.message()));
    if (files.empty()) return report_.error(path + ": has no *.yaml, *.yml or *.json files");
    std::ranges::sort(files);
    for (const std::string& file : files) load_file(file);
  }

  void parse(std::string_view text, const std::string& file) {
    if (text.size() > kMaxFile) return report_.error(file + ": is larger than 8 MiB");
    const auto mark = report_.mark();
    const k8s::YamlFile yaml = k8s::parse_yaml(text);
    for (const Yaml& document : yaml.documents) read(document, file);
    if (yaml.documents.empty() && !yaml.error) {
      report_.warning(file, file + ": has no objects", 0);
    }
    if (yaml.error) {
      report_.error(fmt::format("{}:{}: {}", file, yaml.error->line, yaml.error->text),
                    yaml.error->line);
    }
    report_.sort_from(mark);
  }

  ManifestsResult finish() {
    check_namespaces();
    check_pod_count();
    return {std::move(out_), report_.errors(), report_.warnings()};
  }

 private:
  void load_file(const std::string& path) {
    if (path == "-") return load_stream(std::cin, "standard input");
    std::error_code ec;
    const auto status = fs::status(path, ec);
    if (!fs::exists(status)) return report_.error(path + ": there is no such file or directory");
    if (!fs::is_regular_file(status) && !fs::is_fifo(status)) {
      return report_.error(path + ": is neither a file nor a pipe");
    }
    std::ifstream in(path, std::ios::binary);
    load_stream(in, path);
  }

  // A pipe has no size beforehand: reads no more than tells that there is too much.
  void load_stream(std::istream& in, const std::string& name) {
    std::string text;
    std::string piece(kPiece, '\0');
    while (in.read(piece.data(), kPiece), in.gcount() > 0 && text.size() <= kMaxFile) {
      text.append(piece, 0, static_cast<std::size_t>(in.gcount()));
    }
    if (in.bad() || !(in.eof() || text.size() > kMaxFile)) {
      return report_.error(name + ": cannot be read");
    }
    parse(text, name);
  }

  void read(const Yaml& document, const std::string& file) {
    Subject subject{report_, file, "document", ""};
    const Field root(subject, document);
    if (document.type != Yaml::Type::kMap) return root.must("be an object");
    Map map(root);
    const Field kind_field = map.need("kind");
    const std::string kind = kind_field.text();
    if (!kind_field.is_text()) return;
    subject.kind = kind.substr(0, 63);
    if (kind == "List") {
      for (const Field& item : map.need("items").items()) read(*item.yaml(), file);
      return;
    }
    read_kind(kind, map, subject);
  }

  void read_kind(const std::string& kind, Map& map, Subject& subject) {
    static constexpr std::pair<std::string_view, std::string_view> kVersions[] = {
        {"Namespace", "v1"},
        {"Pod", "v1"},
        {"Service", "v1"},
        {"Deployment", "apps/v1"},
        {"EndpointSlice", "discovery.k8s.io/v1"},
    };
    const auto known =
        std::ranges::find(kVersions, kind, &std::pair<std::string_view, std::string_view>::first);
    if (known == std::end(kVersions)) return map.field().ignored();
    map.need("apiVersion").word({known->second}, "");
    read_object(kind, read_meta(map, kind != "Namespace", subject), map);
    map.rest({"status"});
  }

  void read_object(const std::string& kind, Meta meta, Map& map) {
    if (kind == "Namespace") {
      map.skip("spec");
      namespaces_.insert(meta.name);
      out_.namespaces.push_back({std::move(meta)});
    } else if (kind == "Service") {
      out_.services.push_back(k8s::read_service(std::move(meta), map));
    } else if (kind == "EndpointSlice") {
      auto slice = k8s::read_endpoint_slice(std::move(meta), map);
      if (slice) out_.slices.push_back(std::move(*slice));
    } else if (const Field spec = map.need("spec"); spec.present()) {
      if (kind == "Pod") {
        out_.pods.push_back({std::move(meta), k8s::read_pod_spec(spec)});
      } else {
        out_.deployments.push_back(k8s::read_deployment(std::move(meta), spec));
      }
    }
  }

  Meta read_meta(Map& object, bool namespaced, Subject& subject) {
    Meta out;
    out.place = {.file = subject.file, .line = object.field().line()};
    Map map(object.need("metadata"));
    const Field name = map.get("name");
    const Field space = map.get("namespace");
    if (name.is_text()) subject.name = name.yaml()->text.substr(0, 63);
    if (namespaced) {
      out.namespace_ = space.present() ? space.dns_label() : "default";
      subject.name = out.namespace_.substr(0, 63) + "/" + subject.name;
    } else if (space.present()) {
      space.error("this kind has none");
    }
    out.name = map.need("name").dns_label();
    k8s::read_labels(map, out.labels, out.annotations);
    out.created = read_time(map.get("creationTimestamp"));
    map.rest({"deletionGracePeriodSeconds", "finalizers", "generateName", "generation",
              "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"});
    check_duplicate(subject.kind, out, object.field());
    if (namespaced) used_.push_back({subject, out.namespace_, space.line()});
    return out;
  }

  static std::int64_t read_time(const Field& field) {
    const std::string text = field.text();
    if (!field.is_text()) return 0;
    const auto time = k8s::parse_time(text);
    if (!time) field.must("be a time like 2026-11-24T02:00:00Z");
    return time.value_or(0);
  }

  void check_duplicate(const std::string& kind, const Meta& meta, const Field& field) {
    const auto [first, is_new] = places_.try_emplace({kind, meta.key()}, meta.place);
    if (is_new || meta.name.empty()) return;
    field.error(fmt::format("is already defined at {}", first->second.to_string()));
  }

  void check_namespaces() {
    for (const Use& use : used_) {
      if (namespaces_.contains(use.name)) continue;
      report_.error(fmt::format("{}:{}: {} {}: metadata.namespace: there is no Namespace '{}'",
                                use.subject.file, use.line, use.subject.kind, use.subject.name,
                                use.name));
    }
  }

  void check_pod_count() {
    std::uint64_t count = out_.pods.size();
    for (const DeploymentManifest& deployment : out_.deployments) count += deployment.replicas;
    if (count > kMaxPods) {
      report_.error(fmt::format("these are {} pods: at most {} are allowed", count, kMaxPods));
    }
  }

  // An object's namespace, to be looked up when all Namespaces are known.
  struct Use {
    Subject subject;
    std::string name;
    int line;
  };
  Report report_;
  Manifests out_;
  std::set<std::string> namespaces_;
  std::map<std::pair<std::string, ObjectKey>, Place> places_;
  std::vector<Use> used_;
};

std::vector<HostPort> host_ports(const PodSpec& spec) {
  std::vector<HostPort> out;
  for (const Container& container : spec.containers) {
    for (const ContainerPort& port : container.ports) {
      if (port.host_port == 0) continue;
      out.push_back({port.protocol, port.host_port, port.port, port.host_ip});
    }
  }
  return out;
}

}  // namespace

std::string Place::to_string() const { return fmt::format("{}:{}", file, line); }

void k8s::read_labels(Map& metadata, Labels& labels, Labels& annotations) {
  labels = metadata.get("labels").labels();
  Map ours(metadata.get("annotations"));
  annotations = ours.field().annotations();
  const Field local = ours.get(kNodeLocalAnnotation);
  if (local.is_text()) local.word({"true", "false"}, "");
  const Field forwarding = ours.get(kForwardingAnnotation);
  if (forwarding.is_text()) forwarding.word({"dsr", "snat"}, "");
  const Field weight = ours.get(kWeightAnnotation);
  if (weight.is_text() && !parse_weight(weight.yaml()->text)) {
    weight.must("be \"1\" to \"256\"");
  }
  for (const char* name : {kIngressBandwidth, kEgressBandwidth}) {
    const Field bandwidth = ours.get(name);
    if (bandwidth.is_text() && !parse_bandwidth(bandwidth.yaml()->text)) {
      bandwidth.must("be \"1k\" to \"1P\", in bits per second");
    }
  }
}

ManifestsResult load_manifests(const std::vector<std::string>& paths,
                               const std::set<std::string>& known_namespaces) {
  Loader loader(known_namespaces);
  for (const std::string& path : paths) loader.load(path);
  return loader.finish();
}

ManifestsResult parse_manifests(std::string_view yaml, const std::string& file,
                                const std::set<std::string>& known_namespaces) {
  Loader loader(known_namespaces);
  loader.parse(yaml, file);
  return loader.finish();
}

Namespace to_model(const NamespaceManifest& manifest) {
  return {.name = manifest.meta.name, .labels = manifest.meta.labels};
}

Pod to_model(const PodManifest& manifest) {
  Pod out;
  out.namespace_ = manifest.meta.namespace_;
  out.name = manifest.meta.name;
  out.labels = manifest.meta.labels;
  out.node = manifest.spec.node_name;
  out.host_network = manifest.spec.host_network;
  if (!out.host_network) out.host_ports = host_ports(manifest.spec);
  const auto weight = manifest.meta.annotations.find(k8s::kWeightAnnotation);
  if (weight != manifest.meta.annotations.end()) {
    out.weight = parse_weight(weight->second).value_or(1);
  }
  return out;
}

Service to_model(const ServiceManifest& manifest) { return manifest.service; }
EndpointSlice to_model(const EndpointSliceManifest& manifest) { return manifest.slice; }

PodBandwidth bandwidth_of(const PodManifest& manifest) {
  const auto value = [&annotations = manifest.meta.annotations](const char* name) {
    const auto it = annotations.find(name);
    return it == annotations.end() ? 0 : parse_bandwidth(it->second).value_or(0);
  };
  return {value(k8s::kIngressBandwidth), value(k8s::kEgressBandwidth)};
}

PodManifest pod_of(const DeploymentManifest& manifest, const std::string& pod_name) {
  PodManifest out;
  out.meta = manifest.meta;
  out.meta.name = pod_name;
  out.meta.labels = manifest.template_labels;
  out.meta.annotations = manifest.template_annotations;
  out.spec = manifest.spec;
  return out;
}

}  // namespace weir
