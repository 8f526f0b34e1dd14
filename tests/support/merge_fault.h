// A fault in the op that merges attention, made on purpose. The linker leads all calls of
// merge_attention() in a test of layouts through merge_fault.cpp (--wrap, tests/support/
// CMakeLists.txt), so the op itself needs no hook.
#pragma once

namespace masformer::test {

// While a faulty one exists, merges give their two sides equal weights, whatever the log-sum-exps
// are. Only for tensors in host memory.
class MergesIgnoreLse {
 public:
  explicit MergesIgnoreLse(bool faulty);
  ~MergesIgnoreLse();
  MergesIgnoreLse(const MergesIgnoreLse&) = delete;
  MergesIgnoreLse& operator=(const MergesIgnoreLse&) = delete;
};

}  // namespace masformer::test
