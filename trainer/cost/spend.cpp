#include "trainer/cost/spend.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace lockstep {
namespace {

std::string fixed(double value, int digits) {
  char text[400];  // the largest double has 309 digits before the point
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace

Spend spend_of(const Price& price, int gpus, double seconds) {
  Spend spend{.gpu_hours = seconds / 3600.0 * gpus, .amount = {}, .currency = price.currency};
  if (price.is_known()) spend.amount = price.per_gpu_hour * spend.gpu_hours;
  return spend;
}

void check_price(const Price& price) {
  if (!std::isfinite(price.per_gpu_hour) || price.per_gpu_hour < 0.0) {
    throw std::invalid_argument("price per GPU-hour is " + std::to_string(price.per_gpu_hour) +
                                "; it must be a positive number, or 0 where it is not known");
  }
  const auto is_alphanumeric = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  const std::string& currency = price.currency;
  if (currency.empty() || currency.size() > 8 ||
      !std::all_of(currency.begin(), currency.end(), is_alphanumeric)) {
    std::string shown = currency.substr(0, 20);
    std::replace_if(
        shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    throw std::invalid_argument("the currency is '" + shown +
                                "'; it must be a code of 1 to 8 letters or digits, such as USD");
  }
}

std::string with_thousands(std::string number) {
  const std::size_t begin = number.front() == '-' ? 1 : 0;
  for (std::size_t at = std::min(number.find('.'), number.size()); at > begin + 3;) {
    at -= 3;
    number.insert(at, 1, ',');
  }
  return number;
}

std::string format_money(double amount, const std::string& currency) {
  // The rounded amount decides, so that 0.99999 is 1.00 and not 1.0000.
  const bool is_small = std::abs(amount) < 0.99995;
  const std::string number = with_thousands(fixed(amount, is_small && amount != 0.0 ? 4 : 2));
  return currency == "USD" ? "$" + number : number + " " + currency;
}

std::string format_spend(const Spend& spend) {
  if (spend.amount) return format_money(*spend.amount, spend.currency);
  return with_thousands(fixed(spend.gpu_hours, spend.gpu_hours < 10.0 ? 3 : 1)) + " GPU-h";
}

}  // namespace lockstep
