#pragma once

#include <rapidcheck.h>

#include <cstdlib>
#include <iostream>
#include <utility>

namespace weir::oracle {

// rc::check() of so many cases, unless RC_PARAMS says how many; the seed and a failure, made as
// small as it gets, are printed. RC_PARAMS="seed=... max_success=..." repeats it.
template <typename Testable>
bool holds(int cases, Testable&& property) {
  auto params = rc::detail::configuration().testParams;
  if (std::getenv("RC_PARAMS") == nullptr) params.maxSuccess = cases;
  const auto result = rc::detail::checkTestable(std::forward<Testable>(property),
                                                rc::detail::TestMetadata(), params);
  rc::detail::printResultMessage(result, std::cerr);
  std::cerr << "\n";
  return result.template is<rc::detail::SuccessResult>();
}

}  // namespace weir::oracle
