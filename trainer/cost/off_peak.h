// OffPeakWindow: the hours in which a run may run, such as "22:00-06:00,mon-fri,Europe/Berlin".
#pragma once

#include <array>
#include <memory>
#include <string>

namespace lockstep {

// Opens at the first time and closes at the second, on the next day where that is not later. Days are those
// on which it opens: mon-fri, sat, weekdays, weekends; all where none is named. The zone is the machine's
// where none is named; its daylight saving is kept: a time that a day lacks is the moment at which the clocks
// are put forward, and one that comes twice opens at the first and closes at the second.
class OffPeakWindow {
 public:
  // Throws std::invalid_argument: what was wrong and what would be right; for a zone that is not known, with
  // a near name.
  explicit OffPeakWindow(const std::string& text);

  // Seconds since 1970 of the wall clock.
  bool is_open(double unix_s) const;
  double next_opening(double unix_s) const;  // at unix_s if it is open
  double next_closing(double unix_s) const;  // of the window that is open, or else of the next

  // "2026-11-21 22:00 CET".
  std::string to_local(double unix_s) const;

 private:
  struct Zone;
  struct Span {
    double open_s;
    double close_s;
  };
  // The window that is open at unix_s, or the next one.
  Span span_at(double unix_s) const;

  int open_minute_ = 0;            // of the day
  int close_minute_ = 0;           // of the day, or over 24 h: of the next
  std::array<bool, 7> days_ = {};  // from Sunday
  std::shared_ptr<const Zone> zone_;
};

}  // namespace lockstep
