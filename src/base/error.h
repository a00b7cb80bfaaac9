#pragma once

#include <string>
#include <string_view>

namespace weir {

// The code tells the caller what to do; the text tells a person where and why.
enum class Code {
  kNotFound,
  kExists,
  kInvalid,      // the input is wrong: saying it again will not help
  kDenied,       // missing right
  kUnavailable,  // try again later
  kKernel,       // the kernel refused or lacks something
};

std::string_view code_name(Code code);

class Error {
 public:
  Error(Code code, std::string text, int saved_errno = 0)
      : code_(code), errno_(saved_errno), text_(std::move(text)) {}

  Code code() const { return code_; }
  int saved_errno() const { return errno_; }
  const std::string& text() const { return text_; }

  // Puts a noun before the text: `load from_pod: map weir_ct: E2BIG`.
  Error within(std::string_view where) const;

  friend bool operator==(const Error&, const Error&) = default;

 private:
  Code code_;
  int errno_;
  std::string text_;
};

// The one place where errno becomes an Error. The text is "<what>: <strerror>".
Error errno_error(int saved_errno, std::string_view what);

}  // namespace weir
