#pragma once

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "model/key.h"

namespace weir {

// Of each object that was told of, its version and the list that it was last in; for tens of
// thousands of objects, as few bytes.
class KnownObjects {
 public:
  struct Facts {
    std::uint64_t version = 0;
    std::uint32_t round = 0;
  };

  // Good until it is erased. A new one has no facts.
  Facts& operator[](const ObjectKey& key) {
    const auto found = rows_.find(key);
    return (found != rows_.end() ? *found : *rows_.emplace(key).first).facts();
  }
  // Null: not known.
  const Facts* find(const ObjectKey& key) const {
    const auto found = rows_.find(key);
    return found != rows_.end() ? &found->facts() : nullptr;
  }
  void erase(const ObjectKey& key) {
    const auto found = rows_.find(key);
    if (found != rows_.end()) rows_.erase(found);
  }
  // Those that are not in that list; each is told.
  template <typename Fn>
  void erase_others(std::uint32_t round, Fn fn) {
    boost::unordered::erase_if(rows_, [round, &fn](const Row& row) {
      if (row.facts().round == round) return false;
      fn(row.key());
      return true;
    });
  }
  void forget_versions() {
    for (const Row& row : rows_) row.facts().version = 0;
  }

 private:
  // Facts, the length of the namespace, the namespace, the name.
  class Row {
   public:
    explicit Row(const ObjectKey& key)
        : size_(static_cast<std::uint32_t>(key.namespace_.size() + key.name.size())),
          split_(static_cast<std::uint32_t>(key.namespace_.size())),
          block_(std::make_unique_for_overwrite<char[]>(sizeof(Facts) + size_)) {
      new (block_.get()) Facts();
      key.namespace_.copy(text(), split_);
      key.name.copy(text() + split_, key.name.size());
    }
    Facts& facts() const { return *std::launder(reinterpret_cast<Facts*>(block_.get())); }
    std::pair<std::string_view, std::string_view> names() const {
      return {{text(), split_}, {text() + split_, size_ - split_}};
    }
    ObjectKey key() const {
      const auto [space, name] = names();
      return {std::string(space), std::string(name)};
    }

   private:
    char* text() const { return block_.get() + sizeof(Facts); }

    std::uint32_t size_;
    std::uint32_t split_;
    std::unique_ptr<char[]> block_;
  };

  static std::pair<std::string_view, std::string_view> names(const ObjectKey& key) {
    return {key.namespace_, key.name};
  }
  static std::pair<std::string_view, std::string_view> names(const Row& row) { return row.names(); }
  struct Hash {
    using is_transparent = void;
    template <typename T>
    std::size_t operator()(const T& value) const {
      return boost::hash_value(names(value));
    }
  };
  struct Same {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return names(a) == names(b);
    }
  };

  boost::unordered_flat_set<Row, Hash, Same> rows_;
};

}  // namespace weir
