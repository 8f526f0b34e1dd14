// Copies what mpirun writes to one of its standard streams to the wrapper's own stream.
//
// mpirun aborts its job if one of its streams breaks. So it writes to a pipe that never breaks, and
// the wrapper drops what its own stream does not accept. Nothing here blocks, because a reader that
// has stopped reading must neither delay a signal nor stop the job. The exception is a terminal
// that this process may not open, such as another user's.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace masformer {

class StreamRelay {
 public:
  using Filter = std::function<std::string(std::string_view)>;

  // `source`: a non-blocking descriptor, which the object owns. `sink`: one of the wrapper's
  // standard streams. `filter` turns what is read into what is passed on.
  StreamRelay(int source, int sink, Filter filter);
  ~StreamRelay();
  StreamRelay(const StreamRelay&) = delete;
  StreamRelay& operator=(const StreamRelay&) = delete;

  // The descriptors to poll, for input and for output; -1 if there is nothing to wait for.
  int awaited_source() const;
  int awaited_sink() const { return pending_size() == 0 ? -1 : sink_; }

  void receive();                   // reads what has arrived
  void add(std::string_view text);  // appends text of the wrapper, without the filter
  void send();                      // writes what the sink accepts now, or drops what it refuses

  // The errno of the last failed write to the sink; 0 if none failed.
  int error() const { return error_; }

 private:
  std::size_t pending_size() const { return pending_.size() - sent_; }
  void drop(std::size_t size);  // removes the first bytes of what is pending

  int source_;
  int own_sink_;  // if the sink is a terminal: opened again, non-blocking; else -1
  int sink_;      // the descriptor that is written to
  Filter filter_;
  std::string pending_;   // text to write, from byte `sent_` on
  std::size_t sent_ = 0;  // bytes
  int error_ = 0;
};

}  // namespace masformer
