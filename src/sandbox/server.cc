#include "sandbox/server.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>

#include "sys/files.h"

namespace weir {
namespace {

namespace asio = boost::asio;
using UnixStream = asio::local::stream_protocol;
using ErrorCode = boost::system::error_code;

constexpr auto kPatience = std::chrono::seconds(10);  // with the client, not with our own work
constexpr auto kPause = std::chrono::milliseconds(100);

// One connection: read, answer, end. Lives as long as something of it is under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(UnixStream::socket socket, Sandboxes& sandboxes)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), sandboxes_(sandboxes) {}

  void start() {
    give_up_later();
    asio::async_read(
        socket_, asio::dynamic_buffer(request_, cni::kMaxRequestBytes + 1),
        [self = shared_from_this()](ErrorCode error, std::size_t) { self->on_read(error); });
  }

 private:
  void give_up_later() {
    timer_.expires_after(kPatience);
    timer_.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error) self->hang_up();
    });
  }

  void on_read(ErrorCode error) {
    timer_.cancel();
    const bool too_long = request_.size() > cni::kMaxRequestBytes;
    if (error != asio::error::eof && !too_long) return hang_up();
    sandboxes_.handle(request_, [self = shared_from_this()](std::string answer) {
      self->reply(std::move(answer));
    });
  }

  void reply(std::string answer) {
    answer_ = std::move(answer);
    give_up_later();
    asio::async_write(socket_, asio::buffer(answer_),
                      [self = shared_from_this()](ErrorCode, std::size_t) { self->hang_up(); });
  }

  void hang_up() {
    timer_.cancel();
    ErrorCode ignored;
    socket_.close(ignored);
  }

  UnixStream::socket socket_;
  asio::steady_timer timer_;
  Sandboxes& sandboxes_;
  std::string request_;
  std::string answer_;
};

}  // namespace

class CniServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, std::string path, Sandboxes& sandboxes)
      : acceptor_(io), pause_(io), path_(std::move(path)), sandboxes_(sandboxes) {}

  Result<void> listen() {
    WEIR_TRY(remove_file(path_));
    ErrorCode error;
    acceptor_.open(UnixStream(), error);
    // The mask makes the file 0600 from its first moment on. No other thread creates files now.
    const mode_t mask = umask(0177);
    if (!error) acceptor_.bind(UnixStream::endpoint(path_), error);
    umask(mask);
    if (!error) acceptor_.listen(128, error);
    if (error) return errno_error(error.value(), path_);
    return {};
  }

  void accept() {
    acceptor_.async_accept([self = shared_from_this()](ErrorCode error, UnixStream::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error) {
        std::make_shared<Connection>(std::move(socket), self->sandboxes_)->start();
        return self->accept();
      }
      self->accept_later();
    });
  }

  void stop() {
    ErrorCode ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    unlink(path_.c_str());
  }

 private:
  // Out of descriptors, for example: those in use come back.
  void accept_later() {
    pause_.expires_after(kPause);
    pause_.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error) self->accept();
    });
  }

  UnixStream::acceptor acceptor_;
  asio::steady_timer pause_;
  std::string path_;
  Sandboxes& sandboxes_;
};

Result<std::unique_ptr<CniServer>> CniServer::open(asio::io_context& io, const std::string& path,
                                                   Sandboxes& sandboxes) {
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return Error(Code::kInvalid, fmt::format("{}: too long for a socket's path", path));
  }
  auto impl = std::make_shared<Impl>(io, path, sandboxes);
  WEIR_TRY(impl->listen());
  impl->accept();
  return std::unique_ptr<CniServer>(new CniServer(std::move(impl)));
}

CniServer::CniServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

CniServer::~CniServer() { impl_->stop(); }

}  // namespace weir
