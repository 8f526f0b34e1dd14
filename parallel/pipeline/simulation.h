// Runs a schedule in time instead of on devices: when each action begins and ends, when each
// message travels, and how long each stage is idle, for given costs. The stages run the steps of
// plan_execution(), as the executor does, so a simulation waits where an execution waits.
//
// Each link carries one message at a time, in the order of its sends.
#pragma once

#include <limits>
#include <vector>

#include "parallel/pipeline/pass_seconds.h"
#include "parallel/pipeline/schedule.h"

namespace masformer {

// How messages between stages travel. A message occupies its link for message_bytes /
// bytes_per_second, then its buffer is free again; it arrives `latency` seconds later.
struct LinkCosts {
  double latency = 0;  // seconds
  double bytes_per_second = std::numeric_limits<double>::infinity();
  double message_bytes = 0;  // of an activation or its gradient
  // Whether a message leaves only when its receiver has asked for it, too, as over MPI between
  // hosts' processes. Without, it leaves when it is sent: a device's host runs ahead of the device
  // and has asked long before.
  bool rendezvous = false;

  double transfer_seconds() const { return message_bytes / bytes_per_second; }
};

// The seconds of an action of this kind.
double seconds_of(ActionKind kind, const PassSeconds& part);

struct PipelineCosts {
  std::vector<PassSeconds> parts;  // [part]
  LinkCosts link;
  double hand_over_seconds = 0;  // a copy between two parts of one stage
  // What the seconds of each stage are multiplied by, to ask what a slow rank would cost. Empty:
  // 1 for all.
  std::vector<double> slowdown;  // [stage]
  // When each stage may begin, and how much longer the forward of each part's first micro-batch
  // takes, in seconds. Empty: 0 for all.
  std::vector<double> start;          // [stage]
  std::vector<double> first_forward;  // [part]
};

// Throws Error unless there are costs of each part, and slowdowns of each stage or none.
void check_costs(const Placement& placement, const PipelineCosts& costs);

struct TimeSpan {
  double begin = 0, end = 0;  // seconds since the step began

  double seconds() const { return end - begin; }
  bool operator==(const TimeSpan&) const = default;
};

struct SimulatedMessage {
  int from = 0, to = 0;  // stages
  Action action;         // of the sender
  TimeSpan travel;       // until it has arrived
};

struct Simulation {
  std::vector<std::vector<TimeSpan>> actions;  // [stage][place in schedule.actions[stage]]
  std::vector<SimulatedMessage> messages;      // by link, then in order
  std::vector<double> idle;                    // [stage]: seconds in which it computes nothing
  double seconds = 0;                          // until the last stage has ended

  // Mean over the stages.
  double idle_share() const;
};

// Simulates a validated schedule. Time grows with the number of actions. Throws Error unless there
// are costs for each part, or if the schedule does not end.
Simulation simulate(const Schedule& schedule, const PipelineCosts& costs);

// The time of the stage that computes longest; no schedule on this placement is faster.
double slowest_stage_seconds(const Placement& placement, int micro_batches,
                             const PipelineCosts& costs);

}  // namespace masformer
