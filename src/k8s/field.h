#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "k8s/yaml.h"
#include "model/key.h"

namespace weir::k8s {

// Collects what is wrong in manifests; of errors and of warnings at most kMost are kept.
class Report {
 public:
  static constexpr std::size_t kMost = 100;
  struct Mark {
    std::size_t errors;
    std::size_t warnings;
  };

  void error(std::string text, int line = 0);
  // Once per `cause`.
  void warning(const std::string& cause, std::string text, int line);
  // Puts all since the mark into the order of their lines.
  Mark mark() const { return {errors_.size(), warnings_.size()}; }
  void sort_from(Mark mark);
  std::vector<std::string> errors() const;
  std::vector<std::string> warnings() const;

 private:
  struct Message {
    int line;
    std::size_t order;
    std::string text;
  };
  using Messages = std::vector<Message>;
  static std::vector<std::string> first_of(const Messages& messages);

  Messages errors_;
  Messages warnings_;
  std::set<std::string> causes_;
};

// The object that is being read, for messages.
struct Subject {
  Report& report;
  std::string file;
  std::string kind;
  std::string name;  // "shop/cart"
};

// A field of a manifest that may be absent; null counts as absent. Absent reads as the default,
// wrong as the default and an error: "shop.yaml:14: Deployment shop/cart: spec.replicas: must be
// ...".
class Field {
 public:
  Field(const Subject& subject, const Yaml& root) : Field(subject, &root, root.line, "") {}

  bool present() const { return yaml_ != nullptr && yaml_->type != Yaml::Type::kNull; }
  int line() const { return line_; }
  const Yaml* yaml() const { return yaml_; }
  bool is_text() const { return present() && yaml_->type == Yaml::Type::kText; }

  std::string text() const;
  std::uint32_t number(std::uint32_t min, std::uint32_t max, std::uint32_t absent) const;
  bool flag(bool absent = false) const;
  std::optional<Address> address() const;
  std::optional<Cidr> cidr() const;
  // One of `words`; `absent` if it is absent or wrong.
  std::string word(std::initializer_list<std::string_view> words, std::string_view absent) const;
  // A lowercase name of letters, digits and '-'.
  std::string dns_label(std::size_t max = 63) const;
  std::vector<std::string> texts() const;
  Labels labels() const;       // keys and values as Kubernetes allows them
  Labels annotations() const;  // any text
  std::vector<Field> items() const;

  void error(std::string_view why) const;
  void must(std::string_view rule) const;  // error: "must <rule>, is <what it is>"
  void ignored() const;                    // warning: has no effect here

 private:
  friend class Map;
  Field(const Subject& subject, const Yaml* yaml, int line, std::string path)
      : subject_(&subject), yaml_(yaml), line_(line), path_(std::move(path)) {}
  bool expect(Yaml::Type type, std::string_view rule) const;
  std::string place() const;
  void warning(std::string_view why) const;
  Field member(std::size_t index) const;

  const Subject* subject_;
  const Yaml* yaml_;  // null: absent
  int line_;          // absent: of what it would be in
  std::string path_;
};

// Reads a map field by field, and knows in the end which fields nobody asked for.
class Map {
 public:
  explicit Map(Field field);

  Field get(std::string_view key);
  bool has(std::string_view key) { return get(key).present(); }
  Field need(std::string_view key);  // absent: an error, unless the map is absent too
  void skip(std::string_view key) { known_.emplace(key); }
  // Call last: warns of each field that was not read. `ignored`: those that Kubernetes knows.
  void rest(std::initializer_list<std::string_view> ignored) const;
  const Field& field() const { return field_; }

 private:
  Field field_;
  std::set<std::string, std::less<>> known_;
};

bool is_dns_label(std::string_view text, std::size_t max = 63);
// Labels with dots between them, at most 253.
bool is_dns_subdomain(std::string_view text);

}  // namespace weir::k8s
