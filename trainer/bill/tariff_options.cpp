#include "trainer/bill/tariff_options.h"

#include <cstdio>
#include <filesystem>

#include "trainer/cost/price_table.h"

namespace lockstep {
namespace {

std::string format_number(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", number);
  return text;
}

std::string billing_name_of(double granularity_s) {
  for (const std::string& name : billing_names()) {
    if (granularity_of(name) == granularity_s) return name;
  }
  return format_number(granularity_s) + " s at a time";
}

}  // namespace

std::filesystem::path table_of(const std::string& price_table) {
  if (!price_table.empty()) return price_table;
  return installed_price_table(std::filesystem::read_symlink("/proc/self/exe"));
}

Tariff tariff_of(const TrainConfig& config) {
  Tariff tariff;
  tariff.price = {config.price_per_gpu_hour, config.currency};
  tariff.billing = {granularity_of(config.billing), config.billing_minimum_s, config.pause_stops_billing};
  tariff.storage = {config.storage_gb, config.storage_price_per_gb_month};
  tariff.gpu_type = config.gpu_type;
  if (!config.gpu_type.empty()) {
    // Looked up even where the user's own price wins, so that a wrong name is told.
    const PriceAnswer answer = find_price(read_price_table(table_of(config.price_table)),
                                          {config.gpu_type, config.region, config.spot, config.currency});
    tariff.gpu_type = answer.row.gpu_type;
    if (!tariff.price.is_known()) {
      tariff.price = answer.price;
      tariff.source = answer.row.source;
      tariff.date = answer.row.date;
      if (config.spot) tariff.source = "spot, " + tariff.source;
    }
  }
  if (tariff.source.empty() && tariff.price.is_known()) tariff.source = kOwnPrice;
  return tariff;
}

std::string describe(const Tariff& tariff) {
  if (!tariff.price.is_known()) return {};
  std::string text = tariff.gpu_type.empty() ? "" : tariff.gpu_type + " at ";
  text += format_money(tariff.price.per_gpu_hour, tariff.price.currency) + " per GPU-hour";
  if (tariff.billing.granularity_s > 0.0) text += ", billed " + billing_name_of(tariff.billing.granularity_s);
  if (tariff.billing.minimum_s > 0.0) text += ", at least " + format_number(tariff.billing.minimum_s) + " s";
  if (!tariff.billing.pause_stops_billing) text += ", pauses included";
  text += " (" + tariff.source + (tariff.date.empty() ? "" : ", " + tariff.date) + ")";
  return text;
}

}  // namespace lockstep
