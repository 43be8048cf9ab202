// The makers of all sources, for the table in notice_source.cpp. A new one is a file beside it, and a line
// there and here.
#pragma once

#include <memory>
#include <string>

#include "trainer/notices/notice_source.h"

namespace lockstep {

std::unique_ptr<NoticeSource> make_aws_notices(const std::string& url);
std::unique_ptr<NoticeSource> make_gcp_notices(const std::string& url);
std::unique_ptr<NoticeSource> make_azure_notices(const std::string& url);
// Asks nobody: `url` is not used. Throws std::invalid_argument where Slurm has not said when the job ends.
std::unique_ptr<NoticeSource> make_slurm_notices(const std::string& url);
// Whether it has.
bool is_slurm_job_with_end();

// Of an answer that is not understood: its beginning, on one line, in quotes.
std::string excerpt(const std::string& body);

}  // namespace lockstep
