// One HTML file that needs no network: styles, charts (uPlot), scripts and data are inside it. For every
// report that Lockstep writes.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

// Text for between tags and inside quoted attributes.
std::string html_escaped(std::string_view text);

// JSON that may stand in a <script>: nothing in it can end the element or begin another. It means the same.
std::string json_for_script(std::string_view json);

// A page whose `script` finds `data_json` as JSON.parse(document.getElementById("data").textContent), the
// charts of charts.js as LockstepCharts, and an empty <main>. Its content policy forbids every request.
// `data_json` has to be UTF-8.
std::string html_page(std::string_view title, std::string_view data_json, std::string_view script);

}  // namespace lockstep
