// Files of YAML -> checked objects: reads them, gives each document to its kind's reader, and
// checks in the end what only all of them together can say.
#include "k8s/manifests.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "k8s/manifest_kinds.h"

namespace weir {
namespace {

namespace fs = std::filesystem;
using k8s::Field;
using k8s::Map;
using k8s::Report;
using k8s::Subject;
using k8s::Yaml;

constexpr std::uintmax_t kMaxFile = 8U << 20;
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
    std::error_code ec;
    const auto status = fs::status(path, ec);
    if (!fs::exists(status)) return report_.error(path + ": there is no such file or directory");
    if (!fs::is_regular_file(status)) return report_.error(path + ": is not a regular file");
    if (fs::file_size(path, ec) > kMaxFile) return report_.error(path + ": is larger than 8 MiB");
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (!in) return report_.error(path + ": cannot be read");
    parse(text, path);
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
      if (const Yaml* items = document.find("items")) {
        for (const Yaml& item : items->items) read(item, file);
      }
      return;
    }
    read_kind(kind, map, subject);
  }

  void read_kind(const std::string& kind, Map& map, Subject& subject) {
    const bool is_known =
        kind == "Namespace" || kind == "Pod" || kind == "Deployment" || kind == "Service";
    if (!is_known) return map.field().ignored();
    const Field version = map.need("apiVersion");
    version.word({kind == "Deployment" ? "apps/v1" : "v1"}, "");
    Meta meta = read_meta(map, kind != "Namespace", subject);
    if (kind == "Namespace") {
      map.rest({"spec", "status"});
      namespaces_.insert(meta.name);
      out_.namespaces.push_back({std::move(meta)});
      return;
    }
    read_spec(kind, std::move(meta), map.need("spec"));
    map.rest({"status"});
  }

  void read_spec(const std::string& kind, Meta meta, const Field& spec) {
    if (!spec.present()) return;
    if (kind == "Pod") {
      out_.pods.push_back({std::move(meta), k8s::read_pod_spec(spec)});
    } else if (kind == "Deployment") {
      out_.deployments.push_back(k8s::read_deployment(std::move(meta), spec));
    } else {
      out_.services.push_back(k8s::read_service(std::move(meta), spec));
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
    map.rest({"creationTimestamp", "deletionGracePeriodSeconds", "finalizers", "generateName",
              "generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink",
              "uid"});
    check_duplicate(subject.kind, out, object.field());
    if (namespaced) used_.push_back({subject, out.namespace_, space.line()});
    return out;
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

}  // namespace

std::string Place::to_string() const { return fmt::format("{}:{}", file, line); }

void k8s::read_labels(Map& metadata, Labels& labels, Labels& annotations) {
  labels = metadata.get("labels").labels();
  annotations = metadata.get("annotations").annotations();
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
  return out;
}

Service to_model(const ServiceManifest& manifest) { return manifest.service; }

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
