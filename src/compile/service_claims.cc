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
  FrontendKind kind{};
  std::int64_t rank = 0;  // among those of one kind, the lowest first
  std::string namespace_;
  std::string name;
  bool is_pod = false;

  static Candidate of(const Service& service) {
    return {{}, age_rank(service), service.namespace_, service.name, false};
  }
  static Candidate of(const Pod& pod) {
    if (pod.namespace_.empty()) return {{}, 2, {}, pod.name, true};  // a sandbox: no object's
    return {{}, pod.terminating ? 1 : 0, pod.namespace_, pod.name, true};
  }
  bool before(const Candidate& other) const {
    return std::tie(kind, rank, namespace_, name) <
           std::tie(other.kind, other.rank, other.namespace_, other.name);
  }
  bool same(const Candidate& other) const {
    return is_pod == other.is_pod && namespace_ == other.namespace_ && name == other.name;
  }
  std::string to_string() const {
    const char* whose = !is_pod ? "service" : namespace_.empty() ? "sandbox" : "pod";
    return fmt::format("{} {}", whose, ObjectKey{namespace_, name}.to_string());
  }
};

void ServiceClaims::add(const Service& value, const ServiceRow* row) {
  for (const Claim& claim : claims_of(value)) services_.insert(claim.hash(), row);
}

void ServiceClaims::add(const Pod& value, const Pod* row) {
  for (const Claim& claim : weir::claims_of(value)) pods_.insert(claim.hash(), row);
}

void ServiceClaims::remove(const Service& value, const ServiceRow* row) {
  for (const Claim& claim : claims_of(value)) services_.erase(claim.hash(), row);
}

void ServiceClaims::remove(const Pod& value, const Pod* row) {
  for (const Claim& claim : weir::claims_of(value)) pods_.erase(claim.hash(), row);
}

ServiceClaims::Rivals ServiceClaims::rivals(const std::vector<Claim>& claims) const {
  Rivals out;
  for (const Claim& claim : claims) {
    services_.for_each(claim.hash(), [&out](const ServiceRow& s) { out.services.push_back(&s); });
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

bool ServiceClaims::is_alone(const Claim& place) const {
  std::size_t claimants = 0;
  const auto count = [&claimants](const auto&) { ++claimants; };
  services_.for_each(place.hash(), count);
  pods_.for_each(place.hash(), count);
  return claimants <= 1;
}

std::optional<ServiceClaims::Candidate> ServiceClaims::best(const Claim& place) const {
  std::optional<Candidate> out;
  const auto consider = [&](const std::vector<Claim>& claims, Candidate candidate) {
    const auto claim = std::ranges::find_if(
        claims, [&place](const Claim& each) { return each.same_place(place); });
    if (claim == claims.end() || refused(*claim)) return;
    candidate.kind = claim->kind;
    if (!out || candidate.before(*out)) out = std::move(candidate);
  };
  services_.for_each(place.hash(), [&](const ServiceRow& row) {
    const Service service = row.unpack();
    consider(claims_of(service), Candidate::of(service));
  });
  pods_.for_each(place.hash(),
                 [&](const Pod& pod) { consider(weir::claims_of(pod), Candidate::of(pod)); });
  return out;
}

std::optional<std::string> ServiceClaims::better(const Claim& claim,
                                                 const Candidate& claimant) const {
  const auto found = best(claim);
  if (!found || found->same(claimant)) return std::nullopt;
  return found->to_string();
}

std::optional<std::string> ServiceClaims::preferred(const Claim& claim,
                                                    const Service& claimant) const {
  return is_alone(claim) ? std::nullopt : better(claim, Candidate::of(claimant));
}

std::optional<std::string> ServiceClaims::preferred(const Claim& claim, const Pod& claimant) const {
  return is_alone(claim) ? std::nullopt : better(claim, Candidate::of(claimant));
}

}  // namespace weir
