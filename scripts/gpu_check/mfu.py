"""Model FLOP/s utilisation of GPT-2 as llm.c counts it (gpt2_estimate_mfu() in its train_gpt2.cu), beside our own count."""

import re

# GPT-2 124M at the length that the benchmarks take.
LAYERS, CHANNELS, TOKENS = 12, 768, 1024
# bfloat16 with float32 accumulation and without sparsity, FLOP/s, by NVIDIA's data sheets. The first that the GPU's name contains.
DATA_SHEETS = [("H100 PCIe", 756e12), ("H100 NVL", 835e12), ("H200 NVL", 835e12), ("H100", 989.4e12), ("H200", 989.4e12), ("GH200", 989.4e12), ("A100", 312e12)]


def promised_flops(gpu):
    return next((flops for name, flops in DATA_SHEETS if name in gpu), None)


def flops_per_token(parameters):
    return 6 * parameters + 6 * LAYERS * CHANNELS * TOKENS


def lines(gpu, entries):
    """A line for each of our steps of GPT-2."""
    found = []
    promised = promised_flops(gpu)
    for entry in entries:
        if not entry["name"].startswith("gpt2"):
            continue
        for workload in entry["result"]["workloads"]:
            parameters = re.search(r"([\d,]+) parameters", workload["workload"])
            if not parameters:
                continue
            each = flops_per_token(int(parameters[1].replace(",", "")))
            for one in workload["contenders"]:
                if "tokens_per_s" in one and "peak_share" in one:
                    found.append(line(f"{entry['name']}, {one['contender']}", each * one["tokens_per_s"], promised, one, workload))
    return found


def line(name, flops, promised, contender, workload):
    published = f"{100 * flops / promised:.1f} % of the data sheet's {promised / 1e12:.0f}" if promised else "the data sheet's peak is not known here"
    return (f"utilisation, {name}: {flops / 1e12:.0f} TFLOP/s as llm.c counts (6 N + 6 L C T a token), {published}; products counted one by one, "
            f"{100 * contender['peak_share']:.1f} % of {workload['peak_flop_per_s_of_a_rank'] / 1e12:.0f}, {workload['peak_source']}")
