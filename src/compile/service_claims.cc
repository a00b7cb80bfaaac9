#include "compile/service_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>

namespace weir {
namespace {

// Objects without a time come last.
std::int64_t age_rank(const Service& service) {
  return service.created == 0 ? std::numeric_limits<std::int64_t>::max() : service.created;
}

}  // namespace

struct ServiceClaims::Candidate {
  FrontendKind kind;
  const Service* service = nullptr;
  const Pod* pod = nullptr;

  bool before(const Candidate& other) const {
    if (kind != other.kind) return kind < other.kind;
    if (pod != nullptr) {
      return std::tie(pod->terminating, pod->namespace_, pod->name) <
             std::tie(other.pod->terminating, other.pod->namespace_, other.pod->name);
    }
    const auto age = age_rank(*service);
    const auto other_age = age_rank(*other.service);
    return std::tie(age, service->namespace_, service->name) <
           std::tie(other_age, other.service->namespace_, other.service->name);
  }

  std::string to_string() const {
    return pod != nullptr ? fmt::format("pod {}", pod->key().to_string())
                          : fmt::format("service {}", service->key().to_string());
  }
};

void ServiceClaims::add(const Service& value, const Service* row) {
  for (const Claim& claim : claims_of(value)) services_.insert(claim.hash(), row);
}

void ServiceClaims::add(const Pod& value, const Pod* row) {
  for (const Claim& claim : weir::claims_of(value)) pods_.insert(claim.hash(), row);
}

void ServiceClaims::remove(const Service& value, const Service* row) {
  for (const Claim& claim : claims_of(value)) services_.erase(claim.hash(), row);
}

void ServiceClaims::remove(const Pod& value, const Pod* row) {
  for (const Claim& claim : weir::claims_of(value)) pods_.erase(claim.hash(), row);
}

ServiceClaims::Rivals ServiceClaims::rivals(const std::vector<Claim>& claims) const {
  Rivals out;
  for (const Claim& claim : claims) {
    services_.for_each(claim.hash(), [&out](const Service& s) { out.services.push_back(&s); });
    pods_.for_each(claim.hash(), [&out](const Pod& p) { out.pods.push_back(&p); });
  }
  return out;
}

std::optional<std::string> ServiceClaims::refused(const Claim& claim) const {
  if (claim.kind == FrontendKind::kHostPort) return std::nullopt;
  if (const auto range = ranges_.pod_range(claim.address)) {
    return fmt::format("lies in pod range {}", range->to_string());
  }
  if (claim.kind == FrontendKind::kClusterIp && ranges_.is_node(claim.address)) {
    return "is a node's address";
  }
  return std::nullopt;
}

bool ServiceClaims::is_alone(const Claim& place, const void* row) const {
  bool out = true;
  const auto compare = [&out, row](const auto& each) { out = out && &each == row; };
  services_.for_each(place.hash(), compare);
  pods_.for_each(place.hash(), compare);
  return out;
}

std::optional<ServiceClaims::Candidate> ServiceClaims::best(const Claim& place) const {
  std::optional<Candidate> out;
  const auto consider = [this, &out, &place](const std::vector<Claim>& claims,
                                             Candidate candidate) {
    const auto claim = std::ranges::find_if(
        claims, [&place](const Claim& each) { return each.same_place(place); });
    if (claim == claims.end() || refused(*claim)) return;
    candidate.kind = claim->kind;
    if (!out || candidate.before(*out)) out = candidate;
  };
  services_.for_each(place.hash(), [&](const Service& service) {
    consider(claims_of(service), {.kind = {}, .service = &service, .pod = nullptr});
  });
  pods_.for_each(place.hash(), [&](const Pod& pod) {
    consider(weir::claims_of(pod), {.kind = {}, .service = nullptr, .pod = &pod});
  });
  return out;
}

std::optional<std::string> ServiceClaims::preferred(const Claim& claim,
                                                    const Service& claimant) const {
  if (is_alone(claim, &claimant)) return std::nullopt;
  const auto found = best(claim);
  if (!found || found->service == &claimant) return std::nullopt;
  return found->to_string();
}

std::optional<std::string> ServiceClaims::preferred(const Claim& claim, const Pod& claimant) const {
  if (is_alone(claim, &claimant)) return std::nullopt;
  const auto found = best(claim);
  if (!found || found->pod == &claimant) return std::nullopt;
  return found->to_string();
}

}  // namespace weir
