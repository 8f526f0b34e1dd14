// The text of a run: its splits, the data rank's batches, and the store's digest.
#pragma once

#include <string>

#include "data/loader.h"
#include "data/split.h"
#include "data/token_store.h"
#include "launch/options/options.h"
#include "launch/training/job.h"

namespace masformer {

class TrainingData {
 public:
  // `store` outlives this object. Rank 0 reads the whole store for its digest. Throws
  // AgreedUsageError on all ranks if a split that the run uses has no whole window. Collective.
  TrainingData(Job& job, const Options& options, const TokenStore& store);
  TrainingData(const TrainingData&) = delete;
  TrainingData& operator=(const TrainingData&) = delete;
  ~TrainingData() = default;

  const Split& train() const { return train_; }
  const Split& held_out() const { return held_out_; }
  const Loader& loader() const { return loader_; }
  const std::string& digest() const { return digest_; }

 private:
  Split train_, held_out_;
  Loader loader_;  // of train_
  std::string digest_;
};

}  // namespace masformer
