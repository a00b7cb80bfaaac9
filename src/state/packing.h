#pragma once

#include <string>
#include <string_view>

#include "model/endpoint_slice.h"
#include "model/pod_endpoint.h"
#include "model/service.h"

namespace weir {

// Values as few bytes, for tables of hundreds of thousands. Equal values have equal bytes; the
// first two fields are namespace and name.
std::string pack(const Service& service);
std::string pack(const EndpointSlice& slice);
std::string pack(const PodEndpoint& endpoint);
// REQUIRES: `bytes` are those of pack().
void unpack(std::string_view bytes, Service& out);
void unpack(std::string_view bytes, EndpointSlice& out);
void unpack(std::string_view bytes, PodEndpoint& out);

// The text at the front of `bytes`, which is then left behind.
std::string_view take_text(std::string_view& bytes);

}  // namespace weir
