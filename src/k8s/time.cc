#include "k8s/time.h"

#include <fmt/format.h>

#include <chrono>

namespace weir::k8s {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;

// Takes fields off the front of a text; after the first one that is not there, none is.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  int digits(std::size_t count, int max) {
    int out = 0;
    good_ = good_ && text_.size() >= count;
    for (std::size_t i = 0; good_ && i < count; ++i) {
      good_ = is_digit(text_[i]);
      out = out * 10 + (text_[i] - '0');
    }
    if (good_) text_.remove_prefix(count);
    good_ = good_ && out <= max;
    return out;
  }
  char one_of(std::string_view chars) {
    good_ = good_ && !text_.empty() && chars.find(text_.front()) != std::string_view::npos;
    if (!good_) return 0;
    const char out = text_.front();
    text_.remove_prefix(1);
    return out;
  }
  void skip_fraction() {
    if (!text_.starts_with('.')) return;
    text_.remove_prefix(1);
    good_ = good_ && !text_.empty() && is_digit(text_.front());
    while (!text_.empty() && is_digit(text_.front())) text_.remove_prefix(1);
  }
  bool finished() const { return good_ && text_.empty(); }
  bool good() const { return good_; }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  std::string_view text_;
  bool good_ = true;
};

std::int64_t read_offset(Reader& in) {
  const char sign = in.one_of("Zz+-");
  if (sign == 0 || sign == 'Z' || sign == 'z') return 0;
  const std::int64_t hours = in.digits(2, 23);
  in.one_of(":");
  const std::int64_t seconds = hours * 3600 + in.digits(2, 59) * 60;
  return sign == '-' ? -seconds : seconds;
}

std::optional<sys_days> read_date(Reader& in) {
  const int year = in.digits(4, 9999);
  in.one_of("-");
  const int month = in.digits(2, 12);
  in.one_of("-");
  const int day = in.digits(2, 31);
  const year_month_day date{std::chrono::year(year),
                            std::chrono::month(static_cast<unsigned>(month)),
                            std::chrono::day(static_cast<unsigned>(day))};
  if (!in.good() || !date.ok()) return std::nullopt;
  return sys_days(date);
}

}  // namespace

std::optional<std::int64_t> parse_time(std::string_view text) {
  Reader in(text);
  const auto date = read_date(in);
  if (!date) return std::nullopt;
  in.one_of("Tt ");
  std::int64_t seconds = in.digits(2, 23) * 3600;
  in.one_of(":");
  seconds += in.digits(2, 59) * 60;
  in.one_of(":");
  seconds += in.digits(2, 60);
  in.skip_fraction();
  seconds -= read_offset(in);
  if (!in.finished()) return std::nullopt;
  seconds += std::int64_t{date->time_since_epoch().count()} * 86400;
  constexpr std::int64_t kEndOf9999 = 253402300800;
  if (seconds < 0 || seconds >= kEndOf9999) return std::nullopt;
  return seconds;
}

std::string format_time(std::int64_t seconds) {
  const sys_days date{days(seconds / 86400)};
  const year_month_day day(date);
  const std::int64_t rest = seconds % 86400;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
                     rest / 3600, rest / 60 % 60, rest % 60);
}

}  // namespace weir::k8s
