#include "parallel/recorder.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <optional>
#include <span>
#include <sys/mman.h>
#include <tuple>
#include <utility>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

constexpr std::size_t max_names = 64, max_name = 32;  // with the 0 at its end
constexpr std::array<char, 16> magic{"masformer rec 2"};

using NameText = std::array<char, max_name>;

struct Header {
  std::array<char, 16> magic;
  RecordedRank rank;
  std::int64_t clock_offset;
  std::uint64_t capacity, record_bytes;
  std::uint64_t name_count;
  std::array<NameText, max_names> names;
};
static_assert(sizeof(Header) % alignof(Record) == 0);

template <class Clock>
std::int64_t nanoseconds_of() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

// Reader and writer are different processes, so what one writes and the other reads is atomic.
template <class T>
std::atomic_ref<T> shared(T& value) {
  return std::atomic_ref<T>(value);
}

// Differs before and after each change of a place: a new record has a new number, and one that gets
// its device's times keeps its number, but is no longer `issued`.
std::pair<std::uint64_t, bool> version_of(Record& place) {
  const std::uint64_t number = shared(place.number).load(std::memory_order_acquire);
  return {number, shared(place.fields.issued).load(std::memory_order_acquire)};
}

// A copy of a record; nothing if there is none, or if it changed meanwhile.
std::optional<Record> copy_of(Record& place) {
  const auto version = version_of(place);
  Record copy = place;
  std::tie(copy.number, copy.fields.issued) = version;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (copy.number == 0 || version_of(place) != version) return std::nullopt;
  return copy;
}

// Changes a place of the ring, which has no number meanwhile, so that nobody takes it for a record.
template <class Change>
void change(Record& place, std::uint64_t number, const Change& change_fields) {
  shared(place.number).store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  change_fields();
  shared(place.number).store(number, std::memory_order_release);
}

}  // namespace

std::int64_t Recorder::now() {
  return nanoseconds_of<std::chrono::steady_clock>();
}

Recorder::Recorder(std::filesystem::path path, const RecordedRank& rank, int capacity)
    : path_(std::move(path)), capacity_(static_cast<std::uint64_t>(capacity)) {
  require(capacity > 0, "a recorder has {} places: it must have at least one", capacity);
  bytes_ = sizeof(Header) + capacity_ * sizeof(Record);
  // A new file: what another process still maps stays as it is.
  std::filesystem::remove(path_);
  const io::File file(path_, O_RDWR | O_CREAT | O_EXCL);
  // Storing to a page that has no space on the disk would end the process.
  const int error = posix_fallocate(file.descriptor(), 0, static_cast<off_t>(bytes_));
  if (error != 0) io::fail_for_errno("write", path_, error);
  memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor(), 0);
  if (memory_ == MAP_FAILED) io::fail_for_errno("map", path_, errno);
  auto* const header = new (memory_) Header{.magic = magic,
                                            .rank = rank,
                                            .capacity = capacity_,
                                            .record_bytes = sizeof(Record),
                                            .name_count = 1};
  header->clock_offset = nanoseconds_of<std::chrono::system_clock>() - now();
  records_ = new (header + 1) Record[capacity_];
}

Recorder::~Recorder() {
  munmap(memory_, bytes_);
}

std::int64_t Recorder::clock_offset() const {
  return static_cast<const Header*>(memory_)->clock_offset;
}

void Recorder::set_clock_offset(std::int64_t nanoseconds) {
  shared(static_cast<Header*>(memory_)->clock_offset).store(nanoseconds, std::memory_order_relaxed);
}

RecordName Recorder::name(std::string_view text) {
  auto& header = *static_cast<Header*>(memory_);
  require(text.size() < max_name, "the recorder takes names of up to {} characters, not '{}'",
          max_name - 1, text);
  const std::span names(header.names.data(), header.name_count);
  const auto known =
      std::ranges::find_if(names, [&](const NameText& name) { return text == name.data(); });
  const auto index = static_cast<std::size_t>(known - names.begin());
  if (known == names.end()) {
    require(index < max_names, "the recorder has {} names, so '{}' is one too many", max_names,
            text);
    std::ranges::copy(text, header.names[index].begin());
    shared(header.name_count).store(index + 1, std::memory_order_release);
  }
  return static_cast<RecordName>(index);
}

std::uint64_t Recorder::begin(const RecordFields& fields) {
  const std::uint64_t number = ++last_;
  Record& record = place(number);
  change(record, number, [&] {
    record.begin = now();
    shared(record.end).store(Record::running, std::memory_order_relaxed);
    record.step = step_;
    record.fields = fields;
  });
  return number;
}

void Recorder::end(std::uint64_t number) {
  Record& record = place(number);
  if (record.number == number) shared(record.end).store(now(), std::memory_order_release);
}

void Recorder::set_device_times(std::uint64_t number, std::int64_t begin, std::int64_t end) {
  Record& record = place(number);
  if (record.number != number) return;
  change(record, number, [&] {
    record.begin = begin;
    shared(record.end).store(end, std::memory_order_relaxed);
    shared(record.fields.issued).store(false, std::memory_order_release);
  });
}

Recording read_recording(const std::filesystem::path& path) {
  const io::File file(path, O_RDONLY);
  const auto bytes = static_cast<std::size_t>(file.bytes());
  Header header{};
  require(bytes >= sizeof(header), "{} is not a recording: it is too short", path.string());
  file.read_at(0, std::as_writable_bytes(std::span(&header, 1)));
  require(header.magic == magic && header.record_bytes == sizeof(Record) &&
              header.name_count <= max_names && header.capacity > 0 &&
              header.capacity == (bytes - sizeof(header)) / sizeof(Record),
          "{} is not a recording of this version of masformer", path.string());
  Recording recording{header.rank, header.clock_offset, {}, {}};
  for (std::size_t i = 0; i < header.name_count; ++i) {
    header.names[i].back() = 0;
    recording.names.emplace_back(header.names[i].data());
  }
  void* const memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (memory == MAP_FAILED) io::fail_for_errno("map", path, errno);
  auto* const places = reinterpret_cast<Record*>(static_cast<Header*>(memory) + 1);
  for (std::uint64_t i = 0; i < header.capacity; ++i) {
    const std::optional<Record> record = copy_of(places[i]);
    const auto is_named = [&](RecordName name) { return name < recording.names.size(); };
    if (!record || !is_named(record->fields.name) || !is_named(record->fields.group)) continue;
    recording.records.push_back(*record);
  }
  munmap(memory, bytes);
  std::ranges::sort(recording.records, {}, &Record::number);
  return recording;
}

}  // namespace masformer
