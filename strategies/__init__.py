"""The strategies of this repository, one line each; loaded when first used."""

from bench import register

register("none", "strategies.none:Clean")
register("finetune", "strategies.finetune:Finetune")
register("mate-kd", "strategies.mate_kd:MateKD")
register("mlm", "strategies.mlm:MaskedLM")
register("freelb", "strategies.freelb:FreeLB")
register("mixkd", "strategies.mixkd:MixKD")
register("token-cutoff", "strategies.token_cutoff:TokenCutoff")
