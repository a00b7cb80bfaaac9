#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"

// Structs as JSON, both ways. The .cc of a struct lists its fields once, in namespace weir::api:
//   void fields(auto& self, const auto& visit)
//     requires by_fields::Is<decltype(self), Pool>
//   {
//     visit("cidr", self.cidr);
//   }
// Then dump(write(value)) and parse<Pool>(text, "pool").
namespace weir::api::by_fields {

using nlohmann::ordered_json;

template <typename Self, typename T>
concept Is = std::is_same_v<std::remove_cvref_t<Self>, T>;

struct Writer {
  ordered_json& json;
  template <typename T>
  void operator()(const char* name, const T& value) const;
};

struct Reader {
  const ordered_json& json;
  template <typename T>
  void operator()(const char* name, T& value) const;
};

template <typename T>
concept Struct = requires(T& value, Writer writer) { fields(value, writer); };

template <typename T>
ordered_json write(const T& value) {
  ordered_json json = ordered_json::object();
  fields(value, Writer{json});
  return json;
}

template <typename T>
ordered_json write(const std::vector<T>& values) {
  ordered_json json = ordered_json::array();
  for (const T& value : values) {
    if constexpr (Struct<T>) {
      json.push_back(write(value));
    } else {
      json.push_back(value);
    }
  }
  return json;
}

template <typename T>
struct IsStructList : std::false_type {};
template <Struct T>
struct IsStructList<std::vector<T>> : std::true_type {};

template <typename T>
void read(const ordered_json& json, T& value) {
  if constexpr (Struct<T>) {
    fields(value, Reader{json});
  } else if constexpr (IsStructList<T>::value) {
    for (const ordered_json& one : json) read(one, value.emplace_back());
  } else {
    json.get_to(value);
  }
}

template <typename T>
void Writer::operator()(const char* name, const T& value) const {
  if constexpr (Struct<T> || IsStructList<T>::value) {
    json[name] = write(value);
  } else {
    json[name] = value;
  }
}

template <typename T>
void Reader::operator()(const char* name, T& value) const {
  read(json.at(name), value);
}

// Texts of our own may hold any byte (names of links): what is not UTF-8 is replaced.
inline std::string dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

template <typename T>
Result<T> parse(std::string_view text, const char* what) {
  try {
    T value;
    read(ordered_json::parse(text), value);
    return value;
  } catch (const ordered_json::exception& error) {
    return Error(Code::kInvalid, error.what()).within(what);
  }
}

}  // namespace weir::api::by_fields
