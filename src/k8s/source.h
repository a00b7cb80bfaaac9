#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/object.h"

namespace weir {

// Takes what a Source delivers.
class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;

  // May repeat what was said before.
  virtual void change(Change change) = 0;
  // Once, after every object of the first complete list was delivered.
  virtual void synced() = 0;
  // Something in the source is wrong; what was delivered before stays. Said once per cause.
  virtual void warning(std::string_view text) = 0;
};

// Where objects come from. No thread of its own: the owner waits until fd() is readable, then calls
// dispatch(). The sink is called inside start(), dispatch() and poll() only.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  // Call once. The sink outlives the source.
  virtual Result<void> start(Sink& sink) = 0;
  // Valid after start().
  virtual int fd() const = 0;
  // Delivers all that is ready; never blocks.
  virtual void dispatch() = 0;
  // All of that kind in the first complete list were delivered.
  virtual bool has_all(Kind kind) const = 0;
  // What keeps it from being up to date.
  virtual std::vector<std::string> problems() const { return {}; }
  // Waits up to `timeout` for something to deliver, and delivers it. False: there was nothing.
  bool poll(std::chrono::milliseconds timeout);
};

}  // namespace weir
