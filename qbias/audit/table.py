"""METRICS: every number of an audit, with its meaning, unit, and what zero says. An audit gives each one, or the reason why not."""

TOWERS = ("image", "text")
NEAR = 10
"""How many nearest neighbours are compared."""
SMALL, SOME, LARGE = 1, 8, 32
"""Batch sizes at which the same item is embedded."""
THRESHOLD = 6.0
"""From this magnitude on LLM.int8() multiplies an activation's column in 16 bits (Dettmers et al. 2022, section 3)."""
REFERENCE = "of 4 bytes times the baseline's parameters; 1 is float32"
SQNR = "10 log10(|W x|^2 / |W x - Wq x|^2) in dB of one layer, fed with what the baseline feeds it (8 items); 0: noise as strong as signal"
MACHINE = "on the machine of the run, with `audit/threads`; comparable only there"

WHOLE = {
    "audit/layers/quantized": "linear layers that are quantized (ONNX: products with a constant matrix); 0: none",
    "audit/layers/kept": "linear layers that stay in float; 0: all are quantized",
    "audit/coverage/parameters": "share of all parameters that are entries of quantized matrices; 0: nothing is quantized",
    "audit/coverage/multiply_adds": "share of the multiply-adds of one image and one text that quantized layers do; 0: none",
    "audit/bytes/disk": "bytes of the weight files (.safetensors, .onnx)",
    "audit/bytes/disk_share": f"`audit/bytes/disk` {REFERENCE}",
    "audit/bytes/memory": "bytes of the loaded weights before the first use: parameters, buffers, packed weights, scales (ONNX: constants)",
    "audit/bytes/memory_share": f"`audit/bytes/memory` {REFERENCE}",
    "audit/neighbours/image_to_text/overlap_at_10": "mean share of an image's 10 nearest texts that stay among them; 0: none does, 1: all",
    "audit/neighbours/image_to_image/overlap_at_10": "the same for its 10 nearest other images",
    "audit/neighbours/image_to_text/spearman": "mean Spearman correlation of an image's cosines with all texts; 0: the order is unrelated",
    "audit/neighbours/image_to_image/spearman": "the same with all other probe images",
    "audit/threads": "threads that each operation used (torch's setting)",
    "audit/probe": "version of the probe set",
}
EACH_TOWER = {
    "audit/coverage/multiply_adds_{}": "share of the multiply-adds of one {} that quantized layers do; 0: none",
    "audit/work/multiply_adds_{}": "multiply-adds of one {}: linear layers, attention products and the patch convolution",
    "audit/drift/{}/cosine_mean": "mean cosine between the candidate's and the baseline's embedding of a probe {}; 0: unrelated, 1: equal",
    "audit/drift/{}/cosine_min": "least of these cosines",
    "audit/drift/{}/angle_mean": "mean angle in degrees between the two embeddings of a probe {}; 0: same direction",
    "audit/drift/{}/angle_median": "median of these angles",
    "audit/drift/{}/angle_p95": "95th percentile of these angles",
    "audit/drift/{}/angle_max": "largest of these angles",
    "audit/sqnr/{}/min": f"{SQNR}: least over the quantized layers of the {{}} tower",
    "audit/sqnr/{}/median": f"{SQNR}: median over the quantized layers of the {{}} tower",
    "audit/activation/{}": "largest magnitude that a layer of the baseline's {} tower is fed (projections apart); 0: all are 0",
    "audit/batch/{}/difference": "largest difference of a coordinate of the same {} over batches of 1, 8, 32 and other companions; 0: none",
    "audit/batch/{}/difference_outlier": "the same between alone and among companions whose activations reach LLM.int8()'s threshold of 6",
    "audit/batch/{}/layer_difference_outlier": (
        "largest change of one quantized layer's output for an unchanged {} when its companions' inputs are scaled to reach 6.6, as a "
        "share of that layer's largest output; 0: no layer's result depends on its companions"
    ),
    "audit/speed/{}/latency_1": f"median milliseconds of one call with one {{}}, {MACHINE}",
    "audit/speed/{}/throughput_32": f"{{}}s a second at batch 32 (32 / median seconds of a call), {MACHINE}",
}

METRICS: dict[str, str] = WHOLE | {name.format(tower): says.replace("{}", tower) for name, says in EACH_TOWER.items() for tower in TOWERS}
"""Name -> meaning."""
