#pragma once

#include "dataplane/service_fixture.h"
#include "oracle.h"

namespace weir::oracle {

// What the programs of bpf/ make of a question, read from the same tables. Of the answer nobody
// says in the tables whether a client's address is kept: `may_masquerade` is true where a backend
// on another node is given to a client outside.
Answer read_tables(FakeKernel& kernel, const ServiceTables& tables, const Cluster& cluster,
                   const Question& question);

}  // namespace weir::oracle
