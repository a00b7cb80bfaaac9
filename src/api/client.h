#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::api {

// GET target from the agent that listens at the socket path; the body. kUnavailable: nobody answers
// there in time; kInvalid: the agent refused, in its words.
Result<std::string> get(const std::string& socket, const std::string& target,
                        std::chrono::milliseconds timeout = std::chrono::seconds(5));

struct Stream {
  std::string socket;
  std::string target;
};

enum class Next { kGoOn, kStop };

// How to go on with streams whose agent goes away: they are asked again until it is back, as long
// as the folder of its socket is there.
struct Again {
  std::string target;                          // what is asked then
  std::function<void(const Error& why)> lost;  // once each time
};

// Reads several streams at once until all have ended, on_bytes says kStop, or stop_fd (-1: none)
// becomes readable. on_bytes gets pieces of the bodies in order of arrival: whole lines when
// `lines` is set. A stream that fails does not end the others; the first error is returned at the
// end. With `again` no stream ends by itself once one of them has begun.
Result<void> read_streams(
    const std::vector<Stream>& streams, bool lines, int stop_fd,
    const std::function<Next(std::size_t stream, std::string_view bytes)>& on_bytes,
    const Again* again = nullptr);

// "a b/c" -> "a%20b%2Fc"
std::string percent_encode(std::string_view text);

}  // namespace weir::api
