#include "parallel/pipeline/simulation.h"

#include <algorithm>
#include <utility>

#include "parallel/pipeline/execution_plan.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// The messages from one stage to another. The k-th send meets the k-th receive.
struct SimulatedLink {
  int from = 0, to = 0;
  std::vector<Action> actions;  // of the sender, one for each send
  std::vector<double> sent, asked;
  std::vector<TimeSpan> travels;  // of the messages for which all is known
  double free = 0;                // when the last of these left the link
};

struct SentMessage {
  int link = -1;
  std::size_t place = 0;  // in the link
};

struct SimulatedStage {
  std::vector<ExecutionStep> steps;
  std::size_t done = 0;                // steps
  double now = 0;                      // when the last of them ended
  double busy = 0;                     // seconds of computing
  bool asked = false;                  // the next step is a receive that has asked for its message
  SentMessage received;                // what it has asked for
  std::vector<SentMessage> outputs;    // [chunk, micro-batch]
  std::vector<SentMessage> gradients;  // [chunk]: the last one
};

class Simulator {
 public:
  Simulator(const Schedule& schedule, const PipelineCosts& costs)
      : schedule_(schedule),
        costs_(costs),
        link_at_(static_cast<std::size_t>(schedule.stages() * schedule.stages()), -1) {
    check_costs(schedule.placement, costs);
    for (const Link& link : links_of(schedule.placement)) {
      link_at_[index(link.from, link.to)] = static_cast<int>(links_.size());
      SimulatedLink& added = links_.emplace_back();
      added.from = link.from, added.to = link.to;
    }
    const auto chunks = static_cast<std::size_t>(schedule.chunks());
    stages_.resize(static_cast<std::size_t>(schedule.stages()));
    result_.actions.resize(stages_.size());
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      stages_[stage].steps = plan_execution(schedule, static_cast<int>(stage));
      stages_[stage].outputs.resize(chunks * static_cast<std::size_t>(schedule.micro_batches));
      stages_[stage].gradients.resize(chunks);
      if (!costs.start.empty()) stages_[stage].now = costs.start[stage];
      result_.actions[stage].reserve(schedule.actions[stage].size());
    }
  }

  // Each stage runs until it needs to know when another does something, and is continued when that
  // is known. The order in which stages take turns changes nothing.
  Simulation run() && {
    for (int stage = schedule_.stages(); stage-- > 0;) ready_.push_back(stage);
    while (!ready_.empty()) {
      const int stage = ready_.back();
      ready_.pop_back();
      advance(stage);
    }
    for (int stage = 0; stage < schedule_.stages(); ++stage) {
      const SimulatedStage& own = at(stage);
      require(own.done == own.steps.size(),
              "the schedule does not run to its end: stage {} waits before its {}", stage,
              own.done < own.steps.size() ? to_string(own.steps[own.done].action) : "end");
      result_.seconds = std::max(result_.seconds, own.now);
    }
    for (const SimulatedStage& own : stages_) result_.idle.push_back(result_.seconds - own.busy);
    for (const SimulatedLink& link : links_) {
      for (std::size_t i = 0; i < link.travels.size(); ++i) {
        result_.messages.push_back({link.from, link.to, link.actions[i], link.travels[i]});
      }
    }
    return std::move(result_);
  }

 private:
  using Kind = ExecutionStep::Kind;

  std::size_t index(int from, int to) const {
    const int place = from * schedule_.stages() + to;
    return static_cast<std::size_t>(place);
  }
  SimulatedStage& at(int stage) { return stages_[static_cast<std::size_t>(stage)]; }
  SimulatedLink& link(int place) { return links_[static_cast<std::size_t>(place)]; }

  void advance(int stage) {
    SimulatedStage& own = at(stage);
    while (own.done < own.steps.size() && take(stage, own, own.steps[own.done])) ++own.done;
  }

  // Returns false if it is not known yet when the step ends.
  bool take(int stage, SimulatedStage& own, const ExecutionStep& step) {
    switch (step.kind) {
      case Kind::receive:
        return receive(stage, own, step);
      case Kind::run:
        compute(own, seconds_of_run(stage, step.action));
        result_.actions[static_cast<std::size_t>(stage)].push_back({began_, own.now});
        return true;
      case Kind::hand_over:
        compute(own, slowdown_of(costs_.slowdown, stage) * costs_.hand_over_seconds);
        return true;
      case Kind::send:
        send(stage, own, step);
        return true;
      case Kind::wait_for_output_send:
        return wait_until_sent(own, own.outputs[output_slot(step.action)]);
      case Kind::wait_for_gradient_send:
        return wait_until_sent(own, own.gradients[static_cast<std::size_t>(step.action.chunk)]);
    }
    fail("unknown step {}", static_cast<int>(step.kind));
  }

  double seconds_of_run(int stage, const Action& action) const {
    const std::size_t part = part_of(stage, action);
    const double seconds =
        slowdown_of(costs_.slowdown, stage) * seconds_of(action.kind, costs_.parts[part]);
    const bool waits = !costs_.first_forward.empty() && action.kind == ActionKind::forward &&
                       action.micro_batch == 0;
    return waits ? seconds + costs_.first_forward[part] : seconds;
  }

  std::size_t part_of(int stage, const Action& action) const {
    return static_cast<std::size_t>(schedule_.placement.part(stage, action.chunk));
  }
  std::size_t output_slot(const Action& action) const {
    const int slot = action.chunk * schedule_.micro_batches + action.micro_batch;
    return static_cast<std::size_t>(slot);
  }

  void compute(SimulatedStage& own, double seconds) {
    began_ = own.now;
    own.now += seconds;
    own.busy += own.now - began_;
  }

  bool receive(int stage, SimulatedStage& own, const ExecutionStep& step) {
    if (!own.asked) {
      const int place = link_at_[index(step.peer, stage)];
      own.asked = true;
      own.received = {place, link(place).asked.size()};
      link(place).asked.push_back(own.now);
      match(link(place), step.peer);
    }
    const SimulatedLink& incoming = link(own.received.link);
    if (incoming.travels.size() <= own.received.place) return false;
    const Action& sender = incoming.actions[own.received.place];
    const std::size_t part = part_of(stage, step.action);
    const bool forward = step.action.kind == ActionKind::forward;
    require(sender.micro_batch == step.action.micro_batch &&
                forward == (sender.kind == ActionKind::forward) &&
                part_of(step.peer, sender) == (forward ? part - 1 : part + 1),
            "stage {} gets the result of stage {}'s {} before its {}: sends and receives are in "
            "different orders",
            stage, step.peer, to_string(sender), to_string(step.action));
    own.now = std::max(own.now, incoming.travels[own.received.place].end);
    own.asked = false;
    return true;
  }

  void send(int stage, SimulatedStage& own, const ExecutionStep& step) {
    const int place = link_at_[index(stage, step.peer)];
    const SentMessage message{place, link(place).sent.size()};
    link(place).actions.push_back(step.action);
    link(place).sent.push_back(own.now);
    if (step.action.kind == ActionKind::forward) {
      own.outputs[output_slot(step.action)] = message;
    } else {
      own.gradients[static_cast<std::size_t>(step.action.chunk)] = message;
    }
    match(link(place), step.peer);
  }

  bool wait_until_sent(SimulatedStage& own, const SentMessage& message) {
    const SimulatedLink& outgoing = link(message.link);
    if (outgoing.travels.size() <= message.place) return false;
    own.now = std::max(own.now, outgoing.travels[message.place].end - costs_.link.latency);
    return true;
  }

  // Sets the travel of the messages for which all is known, and continues the stage `other`, which
  // may wait for them.
  void match(SimulatedLink& link, int other) {
    const std::size_t before = link.travels.size();
    while (link.travels.size() < link.sent.size()) {
      const std::size_t place = link.travels.size();
      double begin = std::max(link.sent[place], link.free);
      if (costs_.link.rendezvous) {
        if (place >= link.asked.size()) break;
        begin = std::max(begin, link.asked[place]);
      }
      link.free = begin + costs_.link.transfer_seconds();
      link.travels.push_back({begin, link.free + costs_.link.latency});
    }
    if (link.travels.size() > before) ready_.push_back(other);
  }

  const Schedule& schedule_;
  const PipelineCosts& costs_;
  std::vector<SimulatedStage> stages_;
  std::vector<SimulatedLink> links_;
  std::vector<int> link_at_;  // [from, to]: place in links_
  std::vector<int> ready_;    // stages to continue; some may be listed twice, or have to wait
  double began_ = 0;          // of the last computation
  Simulation result_;
};

}  // namespace

double seconds_of(ActionKind kind, const PassSeconds& part) {
  switch (kind) {
    case ActionKind::forward:
      return part.forward;
    case ActionKind::backward:
      return part.backward();
    case ActionKind::backward_input:
      return part.backward_input;
    case ActionKind::backward_weight:
      return part.backward_weight;
  }
  fail("unknown action {}", static_cast<int>(kind));
}

double Simulation::idle_share() const {
  double sum = 0;
  for (const double each : idle) sum += each;
  return seconds > 0 ? sum / (seconds * static_cast<double>(idle.size())) : 0;
}

Simulation simulate(const Schedule& schedule, const PipelineCosts& costs) {
  return Simulator(schedule, costs).run();
}

void check_costs(const Placement& placement, const PipelineCosts& costs) {
  require(std::ssize(costs.parts) == placement.parts(),
          "there are costs of {} parts, but the schedule has {}", costs.parts.size(),
          placement.parts());
  require(costs.slowdown.empty() || std::ssize(costs.slowdown) == placement.stages(),
          "there are slowdowns of {} stages, but the schedule has {}", costs.slowdown.size(),
          placement.stages());
}

double slowest_stage_seconds(const Placement& placement, int micro_batches,
                             const PipelineCosts& costs) {
  check_costs(placement, costs);
  double slowest = 0;
  for (int stage = 0; stage < placement.stages(); ++stage) {
    double seconds = 0;
    for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
      seconds += costs.parts[static_cast<std::size_t>(placement.part(stage, chunk))].total();
    }
    slowest = std::max(slowest, micro_batches * slowdown_of(costs.slowdown, stage) * seconds);
  }
  return slowest;
}

}  // namespace masformer
