"""The strategies of this repository, one line each; loaded when first used."""

from bench import register
from bench.registry import register_family

register("none", "strategies.none:PlainDistillation")
register("finetune", "strategies.finetune:Finetune")
register("mate-kd", "strategies.mate_kd.strategy:MateKD")
register("mlm", "strategies.mlm:MaskedLM")
register("vda", "strategies.vda:VDA")
register("freelb", "strategies.freelb:FreeLB")
register("ad2", "strategies.ad2:AD2")
register("mixkd", "strategies.mixkd:MixKD")
register("augpro", "strategies.augpro:AugPro")
register("token-cutoff", "strategies.token_cutoff:TokenCutoff")
register("eda", "strategies.eda:EDA")
register("aeda", "strategies.aeda:AEDA")
register("tinybert-da", "strategies.tinybert_da:TinyBertDA")
register("mlm-words", "strategies.mlm_words:MlmWords")
register("ssmba", "strategies.ssmba:SSMBA")
register("smart", "strategies.smart:Smart")
register("retrieve", "strategies.retrieve:Retrieve")
register("gal", "strategies.gal:GAL")
register("best-of-k", "strategies.best_of_k:BestOfK")
register("flips", "strategies.flips:Flips")
register("+", "strategies.composition:Composition")
register_family("nlpaug", "strategies.nlpaug.family:FAMILY")
register_family("file", "strategies.file_rows:FAMILY", open_ended=True)
register_family("textattack", "strategies.textattack.family:FAMILY")
