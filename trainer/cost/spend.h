// Spend: GPU-hours and what they cost, and how both are printed.
#pragma once

#include <optional>
#include <string>

namespace lockstep {

// What a GPU-hour costs. A CPU rank counts as one GPU.
struct Price {
  double per_gpu_hour = 0.0;  // 0: unknown
  std::string currency = "USD";

  bool is_known() const { return per_gpu_hour > 0.0; }
};

// An amount of computing. `amount` is in `currency`, and is none where the price is not known.
struct Spend {
  double gpu_hours = 0.0;
  std::optional<double> amount;
  std::string currency = "USD";
};

// Price per GPU-hour x hours x GPUs.
Spend spend_of(const Price& price, int gpus, double seconds);

// Throws std::invalid_argument if the price is negative, NaN or infinite, or if the currency is not 1 to 8
// letters or digits, such as USD.
void check_price(const Price& price);

// The decimal `number` with commas: 1234567.89 as "1,234,567.89".
std::string with_thousands(std::string number);
// "$1,200.00", "$0.0417" (four digits below 1), "912.00 CNY".
std::string format_money(double amount, const std::string& currency);
// The money where the price is known, else the GPU-hours: "$0.0417", "0.028 GPU-h".
std::string format_spend(const Spend& spend);

}  // namespace lockstep
