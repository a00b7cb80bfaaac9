// What a verb tells beside its result.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace weir::cli {

// "weir: LINE" to stderr; the line may end with its newline. Where nobody reads any more (a closed
// terminal), what the verb does goes on. Of `| head` it hears by SIGPIPE, unless it ignores that.
void say(std::string_view line);

template <typename... Arguments>
void say(fmt::format_string<Arguments...> format, Arguments&&... arguments)
  requires(sizeof...(Arguments) > 0)
{
  say(std::string_view(fmt::format(format, std::forward<Arguments>(arguments)...)));
}

}  // namespace weir::cli
