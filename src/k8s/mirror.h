#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "k8s/known_objects.h"
#include "k8s/source.h"
#include "model/object.h"

namespace weir {

// Keeps a Sink equal to what an API server has of one kind, from the text of its lists and watches;
// asks nothing itself. What a server says against its own order is not believed, and nothing is
// erased before a list is complete.
class Mirror {
 public:
  // The sink outlives the mirror.
  Mirror(Kind kind, Sink& sink) : kind_(kind), sink_(sink) {}

  // A list begins, by pages or by a stream; one that was under way is given up.
  void begin_list();
  // A list is under way, or none has begun.
  bool lists() const { return lists_; }
  // A page of it. The token of the next one; empty: it is complete. An Error gives the list up.
  Result<std::string> take_page(std::string_view body);

  // A stream begins, of a list when lists(), else a watch from version() on.
  void begin_stream() { line_.clear(); }
  // Part of it; lists() is false once the list is complete. An Error ends the stream:
  //   kInvalid: it is not to be believed, list anew; kNotFound: so it is, and lists are not
  //   streamed here; kUnavailable: the server gives up, go on where it was.
  Result<void> take(std::string_view data);

  // Up to which the sink is right.
  std::uint64_t version() const { return version_; }
  // The newest that the server told of; 0: none.
  std::uint64_t newest() const { return newest_; }
  // The server has less than it told of. One that lags catches up; one that stays behind was set
  // back, perhaps from a backup, and what it has is right: true, and all versions are forgotten.
  bool lags();

 private:
  using Json = simdjson::dom::element;

  Result<void> take_line(std::string_view line);
  Result<void> take_event(std::string_view type, const Json& object);
  Result<void> take_bookmark(const Json& object, std::uint64_t version);
  Result<void> check_is_new(std::uint64_t version);
  Result<void> check_object(const Json& object) const;
  void list_is_complete(std::uint64_t version);
  void keep(const Json& object);
  void drop(const Json& object);

  Kind kind_;
  Sink& sink_;
  simdjson::dom::parser parser_;
  KnownObjects known_;
  std::string line_;  // incomplete
  bool lists_ = true;
  std::uint32_t round_ = 0;
  std::uint64_t listed_ = 0;  // version of the list's first page; 0: before it
  std::uint64_t version_ = 0;
  std::uint64_t newest_ = 0;
  int lags_ = 0;
};

}  // namespace weir
