#pragma once

#include <rapidcheck.h>

#include <ostream>
#include <string>
#include <vector>

#include "model/object.h"
#include "oracle.h"

namespace weir::oracle {

// From few names, addresses and ports, so that objects meet, clash and follow each other.
rc::Gen<Cluster> any_cluster();

// About places that the cluster's objects want, and some that nobody wants, by clients of all
// kinds: some of them, and always the same ones for a seed.
std::vector<Question> questions(const Cluster& cluster, std::uint32_t seed);

std::vector<Object> objects(const Cluster& cluster);

// What RapidCheck shows of a counterexample.
std::ostream& operator<<(std::ostream& out, const Cluster& cluster);

}  // namespace weir::oracle
