#include "runtime/plugin.h"

#include "parallel/comm/nccl/communicator.h"

namespace masformer {
namespace {

template <class Entry>
Entry* entry(const char* symbol) {
  return reinterpret_cast<Entry*>(plugin_symbol("libmasformer_nccl.so", symbol));
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> inner,
                                                     const Stream& stream, const NcclGroup& group) {
  using Entry = void(std::unique_ptr<Communicator>&, const Stream&, const NcclGroup&);
  static Entry* const decorate = entry<Entry>("masformer_nccl_communicator");
  decorate(inner, stream, group);
  return inner;
}

int nccl_version() {
  static const int version = entry<int()>("masformer_nccl_version")();
  return version;
}

}  // namespace masformer
