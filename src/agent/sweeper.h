#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "abi/sweep.h"
#include "base/result.h"

namespace weir {

class Dataplane;

// Passes over the kernel's table of connections, again and again: what is over leaves, sooner when
// the table is full. They run on a thread of their own, which waits for the kernel; all else is of
// the loop's thread.
class Sweeper {
 public:
  using OnEvent = std::function<void(std::span<const std::byte>)>;

  struct Table {
    // Packets that found no room, ever.
    std::function<std::uint64_t()> refused;
    // On the sweeper's thread. sweep: one pass, with a struct weir_event for each that has left.
    std::function<Result<void>(const weir_sweep&, const OnEvent&)> sweep;
    std::function<std::uint64_t()> count;
  };

  // max: connections that the table has room for. on_ended is called on the loop. What `table` and
  // on_ended speak to outlives the sweeper, and so does the loop.
  Sweeper(boost::asio::io_context& loop, Table table, std::uint32_t max, OnEvent on_ended);
  // Waits for the work that runs.
  ~Sweeper();
  Sweeper(const Sweeper&) = delete;
  Sweeper& operator=(const Sweeper&) = delete;

  // The first pass at once.
  void start();
  // The table is full: a pass now, unless the last one knew.
  void hurry();
  // In the table, as the last pass left it.
  std::uint64_t connections() const { return connections_; }

  // Between two passes, on their thread.
  template <typename Work>
  void post(Work work) {
    boost::asio::post(thread_, std::move(work));
  }

 private:
  void sweep_soon(std::chrono::milliseconds delay);
  void sweep_once();
  const weir_sweep& choose_limits();

  boost::asio::io_context& loop_;
  const Table table_;
  const std::uint32_t max_;
  const OnEvent on_ended_;
  boost::asio::steady_timer timer_{loop_};
  bool hurrying_ = false;      // the last pass found that the table had been full
  std::uint64_t refused_ = 0;  // until then
  std::uint64_t connections_ = 0;
  boost::asio::thread_pool thread_{1};
};

// That of the data plane.
Sweeper::Table connection_table(Dataplane& plane);

}  // namespace weir
