#include "trainer/report/html_page.h"

namespace lockstep {

extern const std::string_view kReportStyle, kChartScript, kUplotScript, kUplotStyle, kUplotLicense;

std::string html_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string json_for_script(std::string_view json) {
  std::string escaped;
  escaped.reserve(json.size());
  for (const char c : json) {
    // Outside strings JSON has none of these, so that an escape is right wherever they are.
    if (c == '<') {
      escaped += "\\u003c";
    } else if (c == '>') {
      escaped += "\\u003e";
    } else if (c == '&') {
      escaped += "\\u0026";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string html_page(std::string_view title, std::string_view data_json, std::string_view script) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
      "'unsafe-inline'; "
      "style-src 'unsafe-inline'; img-src data:\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n";  // or a browser would ask a server for one
  page.append("<title>").append(html_escaped(title)).append("</title>\n");
  page.append("<style>\n")
      .append(kUplotStyle)
      .append("\n")
      .append(kReportStyle)
      .append("</style>\n</head>\n");
  page.append("<body>\n<main></main>\n<script type=\"application/json\" id=\"data\">");
  page.append(json_for_script(data_json)).append("</script>\n");
  page.append("<script>\n/*\n")
      .append(kUplotLicense)
      .append("*/\n")
      .append(kUplotScript)
      .append("</script>\n");
  page.append("<script>\n").append(kChartScript).append("</script>\n");
  page.append("<script>\n").append(script).append("</script>\n</body>\n</html>\n");
  return page;
}

}  // namespace lockstep
