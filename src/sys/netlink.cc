// Netlink exchanges by libmnl's message helpers; the socket is our own, so that errors are Errors.
#include "sys/netlink.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "sys/attributes.h"

namespace weir {
namespace {

constexpr std::size_t kBatchBytes = 8192;
constexpr std::size_t kMessageRoom = 1024;  // most bytes of one message; ours are far smaller

// The kernel's own words about an error, if it sent any.
std::string extended_ack(const nlmsghdr* reply) {
  if ((reply->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply));
  std::size_t offset = sizeof(nlmsgerr);
  if ((reply->nlmsg_flags & NLM_F_CAPPED) == 0) offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string words;
  const auto take = [](const nlattr* attr, void* into) {
    if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG) {
      *static_cast<std::string*>(into) = text_of(attr);
    }
    return MNL_CB_OK;
  };
  mnl_attr_parse(reply, static_cast<unsigned>(offset), take, &words);
  return words;
}

Error message_error(const nlmsghdr* reply, int saved_errno, const std::string& noun) {
  Error error = errno_error(saved_errno, noun);
  const auto words = extended_ack(reply);
  if (words.empty()) return error;
  return {error.code(), fmt::format("{} ({})", error.text(), words), saved_errno};
}

}  // namespace

Batch::Batch() : buffer_(kBatchBytes) {}

void* Batch::add_raw(std::uint16_t type, std::uint16_t flags, std::size_t size, std::string noun) {
  if (used_ + kMessageRoom > buffer_.size()) buffer_.resize(2 * buffer_.size());
  auto* header = mnl_nlmsg_put_header(buffer_.data() + used_);
  header->nlmsg_type = type;
  header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  messages_.push_back({used_, std::move(noun)});
  void* extra = mnl_nlmsg_put_extra_header(header, size);
  used_ += header->nlmsg_len;
  return extra;
}

nlmsghdr* Batch::latest() {
  return reinterpret_cast<nlmsghdr*>(buffer_.data() + messages_.back().offset);
}

void Batch::put(std::uint16_t type, std::string_view bytes) {
  mnl_attr_put(latest(), type, bytes.size(), bytes.data());
  used_ = messages_.back().offset + latest()->nlmsg_len;
}

void Batch::put_u8(std::uint16_t type, std::uint8_t value) {
  put(type, {reinterpret_cast<const char*>(&value), sizeof value});
}

void Batch::put_u16(std::uint16_t type, std::uint16_t value) {
  put(type, {reinterpret_cast<const char*>(&value), sizeof value});
}

void Batch::put_u32(std::uint16_t type, std::uint32_t value) {
  put(type, {reinterpret_cast<const char*>(&value), sizeof value});
}

void Batch::put_string(std::uint16_t type, const std::string& value) {
  put(type, {value.c_str(), value.size() + 1});
}

std::size_t Batch::begin(std::uint16_t type) { return begin_with(type, {}); }

std::size_t Batch::begin_with(std::uint16_t type, std::string_view header) {
  const std::size_t mark = used_;
  put(static_cast<std::uint16_t>(type | NLA_F_NESTED), header);
  return mark;
}

void Batch::end(std::size_t mark) {
  auto* attr = reinterpret_cast<nlattr*>(buffer_.data() + mark);
  attr->nla_len = static_cast<std::uint16_t>(used_ - mark);
}

Result<Fd> listen_netlink(std::uint32_t groups) {
  Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) return errno_error(errno, "netlink listener");
  const int bytes = 1 << 20;
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error(errno, "netlink listener");
  return fd;
}

Result<Netlink> Netlink::open() {
  Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return errno_error(errno, "netlink socket");
  const int on = 1;
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  return Netlink(std::move(fd));
}

Result<Netlink> Netlink::open_in(const Netns& netns) {
  WEIR_ASSIGN(const auto scope, NetnsScope::enter(netns));
  return open();
}

// Only the last message asks for an acknowledgement: a message that fails answers in any case, so
// one answer tells that all are done.
Result<void> Netlink::send(Batch& batch, bool ack_last) {
  for (const auto& message : batch.messages_) {
    auto* header = reinterpret_cast<nlmsghdr*>(batch.buffer_.data() + message.offset);
    header->nlmsg_seq = sequence_++;
    if (ack_last && &message == &batch.messages_.back()) header->nlmsg_flags |= NLM_F_ACK;
  }
  const ssize_t sent = ::send(fd_.get(), batch.buffer_.data(), batch.used_, 0);
  if (sent < 0) return errno_error(errno, "netlink send");
  return {};
}

Result<std::size_t> Netlink::receive() {
  while (true) {
    const ssize_t n = recv(fd_.get(), reply_.data(), reply_.size(), 0);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) return errno_error(errno, "netlink receive");
  }
}

Result<void> Netlink::run(Batch& batch) {
  if (batch.empty()) return {};
  const std::uint32_t first = sequence_;
  const std::uint32_t last = first + static_cast<std::uint32_t>(batch.messages_.size()) - 1;
  WEIR_TRY(send(batch, true));
  Result<void> result;
  while (true) {
    WEIR_ASSIGN(const std::size_t size, receive());
    int left = static_cast<int>(size);
    const auto* reply = reinterpret_cast<const nlmsghdr*>(reply_.data());
    for (; is_whole(reply, left); reply = mnl_nlmsg_next(reply, &left)) {
      if (reply->nlmsg_type != NLMSG_ERROR || reply->nlmsg_seq - first > last - first) continue;
      const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply))->error;
      const auto& message = batch.messages_[reply->nlmsg_seq - first];
      if (error != 0 && error != message.tolerated && result) {
        result = message_error(reply, error, message.noun);
      }
      if (reply->nlmsg_seq == last) return result;
    }
  }
}

Result<void> Netlink::dump(Batch& request, const std::function<void(const nlmsghdr*)>& each,
                           const std::function<void()>& restart) {
  const auto& message = request.messages_.back();
  const auto* header = reinterpret_cast<const nlmsghdr*>(request.buffer_.data() + message.offset);
  const bool many = (header->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  const std::uint32_t wanted = sequence_;
  bool interrupted = false;
  WEIR_TRY(send(request, !many));
  while (true) {
    WEIR_ASSIGN(const std::size_t size, receive());
    int left = static_cast<int>(size);
    const auto* reply = reinterpret_cast<const nlmsghdr*>(reply_.data());
    for (; is_whole(reply, left); reply = mnl_nlmsg_next(reply, &left)) {
      if (reply->nlmsg_seq != wanted) continue;
      interrupted |= (reply->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (reply->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply))->error;
        if (error != 0) return message_error(reply, error, message.noun);
        return {};
      }
      if (reply->nlmsg_type != NLMSG_DONE) {
        each(reply);
        continue;
      }
      const int error = -*static_cast<const int*>(mnl_nlmsg_get_payload(reply));
      if (error != 0) return errno_error(error, message.noun);
      if (!interrupted) return {};
      if (restart) restart();
      return dump(request, each, restart);
    }
  }
}

}  // namespace weir
