#include "base/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace weir {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kNotFound:
      return "not found";
    case Code::kExists:
      return "exists";
    case Code::kInvalid:
      return "invalid";
    case Code::kDenied:
      return "denied";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kKernel:
      return "kernel";
  }
  return "?";
}

Error Error::within(std::string_view where) const {
  return Error(code_, fmt::format("{}: {}", where, text_), errno_);
}

namespace {

Code code_of(int saved_errno) {
  switch (saved_errno) {
    case ENOENT:
    case ENODEV:
    case ESRCH:
      return Code::kNotFound;
    case EEXIST:
      return Code::kExists;
    case EINVAL:
      return Code::kInvalid;
    case EPERM:
    case EACCES:
      return Code::kDenied;
    case EAGAIN:
    case ECONNREFUSED:
    case ETIMEDOUT:
      return Code::kUnavailable;
    default:
      return Code::kKernel;
  }
}

}  // namespace

Error errno_error(int saved_errno, std::string_view what) {
  return Error(code_of(saved_errno), fmt::format("{}: {}", what, std::strerror(saved_errno)),
               saved_errno);
}

}  // namespace weir
