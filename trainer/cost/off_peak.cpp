// Time zones by Howard Hinnant's library, since C++20's are in no compiler of Debian 12.
#include "trainer/cost/off_peak.h"

#include <date/tz.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "sampler/nearest_name.h"
#include "trainer/cost/lower_case.h"

namespace lockstep {

struct OffPeakWindow::Zone {
  const date::time_zone* zone;
};

namespace {

constexpr int kMinutesADay = 24 * 60;
constexpr std::array kDays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

[[noreturn]] void refuse(const std::string& text, const std::string& reason) {
  throw std::invalid_argument("\"" + text.substr(0, 60) + "\": " + reason +
                              "; a window is HH:MM-HH:MM[,days][,zone], such as "
                              "22:00-06:00,mon-fri,Europe/Berlin");
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char letter : text) {
    if (letter == separator) {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  return parts;
}

// "6:30" or "06:30" as a minute of the day; -1 for anything else.
int minute_of(std::string_view text, int last_hour) {
  const std::size_t colon = text.find(':');
  if (colon == text.npos || colon == 0 || colon > 2 || text.size() != colon + 3) return -1;
  int hour = -1;
  int minute = -1;
  const auto read = [](std::string_view digits, int& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  if (!read(text.substr(0, colon), hour) || !read(text.substr(colon + 1), minute)) return -1;
  const bool fits = hour >= 0 && minute >= 0 && minute < 60 && hour * 60 + minute <= last_hour * 60 &&
                    hour * 60 + minute <= kMinutesADay;
  return fits ? hour * 60 + minute : -1;
}

int day_of(const std::string& name) {
  const auto found = std::find(kDays.begin(), kDays.end(), name);
  return found == kDays.end() ? -1 : static_cast<int>(found - kDays.begin());
}

// False where `text` names no days, and then it is a zone.
bool read_days(const std::string& text, std::array<bool, 7>& days) {
  std::string name = lower_case(text);
  if (name == "weekdays") name = "mon-fri";
  if (name == "weekends") name = "sat-sun";
  const auto ends = split(name, '-');
  const int first = day_of(ends.front());
  const int last = day_of(ends.back());
  if (ends.size() > 2 || first < 0 || last < 0) return false;
  days.fill(false);
  for (int day = first;; day = (day + 1) % 7) {
    days[static_cast<std::size_t>(day)] = true;
    if (day == last) return true;
  }
}

const date::time_zone* find_zone(const std::string& text, const std::string& name) {
  try {
    return name.empty() ? date::current_zone() : date::locate_zone(name);
  } catch (const std::runtime_error& error) {
    if (name.empty())
      refuse(text, std::string("the machine's time zone cannot be told (") + error.what() + "); name one");
  }
  std::vector<std::string> names;
  for (const auto& zone : date::get_tzdb().zones) names.push_back(zone.name());
  refuse(text,
         "there is no time zone " + name.substr(0, 40) + "; did you mean " + nearest_name(name, names) + "?");
}

date::sys_seconds to_sys_time(double unix_s) {
  return date::sys_seconds(std::chrono::seconds(static_cast<std::int64_t>(unix_s)));
}

double to_unix_s(date::sys_seconds time) {
  return static_cast<double>(time.time_since_epoch().count());
}

}  // namespace

OffPeakWindow::OffPeakWindow(const std::string& text) {
  const auto parts = split(text, ',');
  const auto times = split(parts.front(), '-');
  if (times.size() != 2) refuse(text, "it has no two times");
  open_minute_ = minute_of(times[0], 23);
  close_minute_ = minute_of(times[1], 24);
  if (times[0] == "24:00" || open_minute_ < 0 || open_minute_ == kMinutesADay)
    refuse(text, "it opens at no time of the day");
  if (close_minute_ < 0) refuse(text, "it closes at no time of the day");
  if (open_minute_ == close_minute_) refuse(text, "it closes when it opens");
  if (close_minute_ < open_minute_) close_minute_ += kMinutesADay;
  days_.fill(true);
  std::string zone;
  std::size_t next = 1;
  if (next < parts.size() && read_days(parts[next], days_)) ++next;
  if (next < parts.size()) zone = parts[next++];
  if (next < parts.size()) refuse(text, "there is more than days and a zone");
  if (parts.size() > 1 && next > 1 && parts.back().empty()) refuse(text, "it ends with a comma");
  zone_ = std::make_shared<const Zone>(Zone{find_zone(text, zone)});
}

OffPeakWindow::Span OffPeakWindow::span_at(double unix_s) const {
  // A clock that is off by ages asks about the ends of what zones know.
  constexpr double kFarthest_s = 2.5e11;  // the year 9892
  const double at_s = std::clamp(unix_s, 0.0, kFarthest_s);
  const date::time_zone& zone = *zone_->zone;
  const auto today = date::floor<date::days>(zone.to_local(to_sys_time(at_s)));
  // From yesterday, whose window may reach into today, to the same day of the next week.
  for (int ahead = -1; ahead <= 8; ++ahead) {
    const date::local_days day = today + date::days(ahead);
    if (!days_[date::weekday(day).c_encoding()]) continue;
    const Span span = {
        to_unix_s(zone.to_sys(day + std::chrono::seconds(open_minute_ * 60), date::choose::earliest)),
        to_unix_s(zone.to_sys(day + std::chrono::seconds(close_minute_ * 60), date::choose::latest))};
    if (at_s < span.close_s && span.open_s < span.close_s) return span;
  }
  throw std::logic_error("a week without a window");
}

bool OffPeakWindow::is_open(double unix_s) const {
  return span_at(unix_s).open_s <= unix_s;
}

double OffPeakWindow::next_opening(double unix_s) const {
  return std::max(unix_s, span_at(unix_s).open_s);
}

double OffPeakWindow::next_closing(double unix_s) const {
  return span_at(unix_s).close_s;
}

std::string OffPeakWindow::to_local(double unix_s) const {
  return date::format("%Y-%m-%d %H:%M %Z", date::make_zoned(zone_->zone, to_sys_time(unix_s)));
}

}  // namespace lockstep
