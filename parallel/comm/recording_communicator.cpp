#include "parallel/comm/recording_communicator.h"

#include <string>
#include <utility>
#include <vector>

#include "runtime/unwinding.h"

namespace masformer {
namespace {

class RecordedRequest final : public PendingRequest {
 public:
  RecordedRequest(Request request, Recorder& recorder, std::uint64_t number)
      : request_(std::move(request)), recorder_(recorder), number_(number) {}
  RecordedRequest(const RecordedRequest&) = delete;
  RecordedRequest& operator=(const RecordedRequest&) = delete;
  // A request that nobody waited for waits as it is destroyed, and has then ended. An abandoned one
  // has no end.
  ~RecordedRequest() override {
    if (ended_ || request_.empty()) return;
    request_ = Request();
    if (!unwinding_.now()) end();
  }

  void wait() override {
    request_.wait();
    end();
  }
  bool done() override {
    if (request_.done()) end();
    return ended_;
  }

 private:
  // The first to learn of the end counts.
  void end() {
    if (!ended_) recorder_.end(number_);
    ended_ = true;
  }

  Request request_;
  Recorder& recorder_;
  std::uint64_t number_;
  bool ended_ = false;
  Unwinding unwinding_;
};

class RecordingCommunicator final : public Communicator {
 public:
  RecordingCommunicator(std::unique_ptr<Communicator> inner, std::string_view name,
                        Recorder& recorder)
      : inner_(std::move(inner)), recorder_(recorder), group_(recorder.name(name)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }

  Request all_reduce(Tensor x, Reduction reduction) override {
    return record("all_reduce", x, nobody, [&] { return inner_->all_reduce(x, reduction); });
  }
  Request reduce_scatter(Tensor x) override {
    return record("reduce_scatter", x, nobody, [&] { return inner_->reduce_scatter(x); });
  }
  Request all_gather(Tensor x) override {
    return record("all_gather", x, nobody, [&] { return inner_->all_gather(x); });
  }
  Request broadcast(Tensor x, int root) override {
    return record("broadcast", x, root, [&] { return inner_->broadcast(x, root); });
  }
  Request send(Tensor x, int to) override {
    return record("send", x, to, [&] { return inner_->send(x, to); });
  }
  Request receive(Tensor x, int from) override {
    return record("receive", x, from, [&] { return inner_->receive(x, from); });
  }
  std::vector<std::string> all_gather(const std::string& text) override {
    const RecordedScope scope(&recorder_, fields("all_gather of text", 0, nobody));
    return inner_->all_gather(text);
  }
  void barrier() override {
    const RecordedScope scope(&recorder_, fields("barrier", 0, nobody));
    inner_->barrier();
  }

  GroupTraits traits() const override { return inner_->traits(); }
  void progress() override { inner_->progress(); }
  SentBytes sent_bytes() const override { return inner_->sent_bytes(); }
  std::int64_t working_memory() const override { return inner_->working_memory(); }

 private:
  static constexpr int nobody = -1;

  RecordFields fields(std::string_view name, std::int64_t bytes, int peer) {
    return {.bytes = bytes,
            .of_group = ++count_,
            .peer = peer,
            .name = recorder_.name(name),
            .group = group_};
  }

  // If the operation throws, its record has no end.
  template <class Start>
  Request record(std::string_view name, const Tensor& x, int peer, const Start& start) {
    const std::uint64_t number = recorder_.begin(fields(name, x.bytes(), peer));
    Request request = start();
    if (request.empty()) {
      recorder_.end(number);
      return request;
    }
    return Request(std::make_unique<RecordedRequest>(std::move(request), recorder_, number));
  }

  std::unique_ptr<Communicator> inner_;
  Recorder& recorder_;
  RecordName group_;
  std::uint64_t count_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> with_recorder(std::unique_ptr<Communicator> group,
                                            std::string_view name, Recorder& recorder) {
  return std::make_unique<RecordingCommunicator>(std::move(group), name, recorder);
}

}  // namespace masformer
